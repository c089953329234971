"""The example site on its two machines: the README's first command, and its waves from open to closeout receipt.

One file, because both work on machines of the same names.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.adapters.lab.home import DEFAULT_HOME, LabHome
from controlplane.adapters.lab.lab import Lab
from tests.lab.operating import MAIN, ROOT
from tests.lab.waving import Leader

pytestmark = pytest.mark.lab

MACHINES = ["mint-apps", "mint-data"]
CHECKS = ["D235", "D236", "D237", "D238", "D239"]


def test_the_demo_moves_everything_off_the_boot_disk_proves_it_and_leaves_nothing_running(lab: Lab) -> None:
    if set(MACHINES) & set(lab.known()):
        pytest.skip("the demo was run here: its machines are there, and this would make them anew: controlplane lab down --destroy")
    try:
        done = subprocess.run([sys.executable, "script/demo.py"], cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
        images = cached(lab)
        # What a second run does first.
        again = subprocess.run([*MAIN, "lab", "reset", *MACHINES], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    finally:
        lab.down(MACHINES, destroy=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout
    for word in ("/mnt/data/docker", "(boot)", "(data)", "was", "now", "down", "boot disk used", "mint-data", "mint-apps", "Data identical"):
        assert word in table, table
    assert re.search(r"\d+\.\d s\s*$", table, re.MULTILINE), "a downtime"
    assert len(re.findall(r"^receipt CAP-\d{8}-\d{6}__", table, re.MULTILINE)) >= 4, table
    assert again.returncode == 0, again.stderr
    assert cached(lab) == images


def cached(lab: Lab) -> dict[str, int]:
    """Return each image of the cache and when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in lab.home.cache.iterdir() if path.suffix in (".img", ".tar")}


@pytest.fixture
def own(lab: Lab) -> Iterator[Lab]:
    """A lab of the test's own, with the images of the other: machines of these names may be there already, and be somebody's."""
    home = LabHome(lab.home.path.with_name(f"{lab.home.path.name}-example"))
    home.path.mkdir(exist_ok=True)
    for shared in ("cache", "locks"):
        (lab.home.path / shared).mkdir(exist_ok=True)
        if not (home.path / shared).is_symlink():
            (home.path / shared).symlink_to(lab.home.path / shared)
    opened = Lab(home)
    try:
        yield opened
    finally:
        opened.down(MACHINES, destroy=True)
        shutil.rmtree(home.path)


@pytest.fixture
def site(own: Lab, tmp_path: Path) -> Path:
    """A copy of the lab's site, under version control, with its two machines filled."""
    folder = tmp_path / "lab"
    shutil.copytree(ROOT / "inventory" / "lab", folder, ignore=shutil.ignore_patterns("state"))
    for name in ("hosts.yml", "policy.yml", "site.yml"):
        text = (folder / name).read_text()
        assert f"{DEFAULT_HOME}/" in text
        (folder / name).write_text(text.replace(f"{DEFAULT_HOME}/", f"{own.home.path}/"))
    own.reset(MACHINES, services=True)
    for name in MACHINES:
        own.seed(name)
    hoard(own, folder / "policy.yml")
    git(folder, "init", "-q")
    commit(folder, "The site as it begins")
    return folder


def hoard(lab: Lab, policy: Path) -> None:
    """Keep two releases of an image on mint-apps that nothing uses, and set the budget between one and both: the older one is to go."""
    sizes = []
    for release in (1, 2):
        brought = f"tar -C /root -c release | docker import - shop/app:{release}"
        sh(lab, "mint-apps", f"head -c 5000000 /dev/urandom > /root/release; {brought}; rm /root/release; sleep 1.1")
        sizes.append(int(sh(lab, "mint-apps", f"python3 -c '{_IMAGES}'")))
    assert sizes[1] - sizes[0] >= 5_000_000, sizes
    budget = f"    thresholds: {{images: {sum(sizes) // 2000}kB}}\n    docker: {{hygiene: {{keep: 1}}}}\n"
    text, begins = policy.read_text(), "  mint-apps:\n    tier: boot-only\n"
    assert begins in text
    policy.write_text(text.replace(begins, begins + budget))


# What the engine says that its images take, in bytes, as the collector reads it.
_IMAGES = """
import http.client, json, socket
engine = http.client.HTTPConnection("engine")
engine.sock = socket.socket(socket.AF_UNIX)
engine.sock.connect("/var/run/docker.sock")
engine.request("GET", "/system/df")
print(json.load(engine.getresponse())["LayersSize"])
"""


def sh(lab: Lab, name: str, script: str) -> str:
    done = lab.run(name, ["bash", "-euo", "pipefail", "-c", script])
    assert done.returncode == 0, done.stderr
    return done.stdout


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    return subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout


def commit(folder: Path, title: str) -> None:
    (folder / ".gitignore").write_text("state/\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", title)


def test_the_waves_of_the_example_site_run_one_after_another_from_open_to_closeout_receipt(site: Path, own: Lab) -> None:
    ann, bob = Leader(site), Leader(site, "bob")
    sentinels = [own.sentinels(name) for name in MACHINES]

    # Where a session begins: nothing is open, and every finding is linked.
    first = ann.did("session", "start", code=3)
    assert (first["since"], first["waves"], first["open_runs"]) == (None, [], [])

    # W8A changes nothing, and nothing else can begin before it; its own gaps are closed after it, and W8E waits for them.
    assert "W8A is not opened yet" in ann.run("wave", "open", "W8B").err
    ann.did("wave", "open", "W8A")
    closeout = ann.did("wave", "close", "W8A", "--attest", "storage is judged in report mode")
    assert [gap["gap"] for gap in closeout["gaps"] if gap["recommended"]] == ["GAP-OP-940", "GAP-OP-946"]
    for gap in ("944", "945"):
        ann.did("gaps", "close", f"GAP-OP-{gap}", "--attest", "policy.yml is the contract, and provision enforces it")
    commit(site, "Close what W8A mended")

    # W8B moves the data of one host; its controller is killed in the middle and somebody else can't take over what is held.
    ann.did("wave", "open", "W8B")
    assert "wave W8B is held by ann@" in bob.run("wave", "plan", "W8B").err
    assert "the plan is approved" in ann.run("wave", "run", "W8B").err or ann.run("wave", "run", "W8B").code == 4
    plan = ann.did("wave", "plan", "W8B", code=3)
    assert {step["host"] for step in plan["steps"]} == {"mint-data"}
    bob.did("wave", "approve", "W8B")
    ann.kill_within("W8B", "docker.data_root")
    assert ann.did("wave", "status", "W8B")["state"] == "running"
    assert ann.run("wave", "close", "W8B", "--attest", "too early").code == 4
    assert ann.did("wave", "run", "W8B")["outcome"] == "done"
    assert "D244" in ann.run("wave", "close", "W8B", "--attest", "too early").err
    ann.did("verify", "--host", "mint-data", "--after-reboot", code=3)
    assert "no plan that did not run yet" in ann.run("wave", "run", "W8B").err
    ann.change("W8B", "--capability", "storage.purge")
    closeout = ann.did("wave", "close", "W8B", "--attest", "no data of mint-data lies on its boot disk", "--deferred", "Redis' durability: W8C")
    assert {(gap["gap"], gap["recommended"]) for gap in closeout["gaps"]} == {("GAP-OP-932", True), ("GAP-OP-942", True)}
    assert {action["capability"] for action in closeout["actions"]} >= {"docker.data_root", "storage.persistent_paths", "storage.purge"}
    assert [own.sentinels(name) for name in MACHINES] == sentinels

    ann.did("wave", "open", "W8C")
    ann.change("W8C")
    closeout = ann.did("wave", "close", "W8C", "--attest", "Redis keeps what it acknowledged")
    assert {(gap["gap"], gap["recommended"]) for gap in closeout["gaps"]} == {("GAP-OP-933", True), ("GAP-OP-948", True)}

    ann.did("wave", "open", "W8D")
    ann.change("W8D")
    # Images are cleared by a plan of their own; until then their budget keeps the wave open.
    assert "images: " in ann.run("wave", "close", "W8D", "--attest", "too early").err
    cleared = ann.change("W8D", "--capability", "docker.hygiene")
    assert [change["target"].split(" ")[:2] for change in cleared["changed"]] == [["image", "shop/app:1"]]
    assert sh(own, "mint-apps", "docker images -q shop/app:1") == ""
    assert sh(own, "mint-apps", "docker images -q shop/app:2") != ""
    for _ in range(2):
        ann.did("gates", "run", "mint")
        time.sleep(1.1)
    closeout = ann.did("wave", "close", "W8D", "--attest", "temp and upload folders are governed, images within their budget")
    assert {action["capability"] for action in closeout["actions"]} >= {"storage.write_surfaces", "docker.hygiene"}
    assert {(gap["gap"], gap["recommended"]) for gap in closeout["gaps"]} == {("GAP-OP-947", True), ("GAP-OP-949", True)}

    # W8E: people close what is mended, and enforce what is earned.
    ann.did("wave", "open", "W8E")
    too_early = ann.run("wave", "close", "W8E", "--attest", "too early").err
    assert "GAP-OP-932 is open" in too_early
    assert "no promotion of it that somebody approved is on record" in too_early
    for gap in ("932", "933", "942", "947", "948", "949"):
        ann.did("gaps", "close", f"GAP-OP-{gap}")
    proposal = site.parent / "promotion.json"
    ann.did("gates", "promote", *CHECKS, "--out", str(proposal))
    assert "has none" in ann.run("gates", "promote", "--apply", str(proposal)).err
    bob.did("approve", str(proposal))
    ann.did("gates", "promote", "--apply", str(proposal))
    assert ann.did("gates", "run", "mint")["summary"]["drifted"] == 0
    commit(site, "Enforce what is earned")
    closeout = ann.did("wave", "close", "W8E", "--attest", "what the waves brought about is enforced from now on")
    assert [change["title"] for change in closeout["files_changed"]] == ["Enforce what is earned"]
    assert set(closeout["outputs"]) == {"last-runs", "linkage", "promotion"}
    [approved] = [gate["reason"] for gate in closeout["gates"] if gate["kind"] == "promoted"]
    assert "__gates.promote__" in approved
    assert ", approved by " in approved
    for gap in ("940", "946"):
        ann.did("gaps", "close", f"GAP-OP-{gap}")
    assert {row["state"] for row in ann.did("wave", "list")["waves"]} == {"closed"}
    assert ann.run("receipts", "verify").code == 0
    assert ann.run("policy", "check").code == 0
    assert [own.sentinels(name) for name in MACHINES] == sentinels
    last = ann.did("session", "start", code=3)
    assert {one["check"] for one in last["mended"]} >= {"D235", "D236", "D238", "D240", "D241"}
    assert (last["waves"], last["open_runs"], last["gaps"]) == ([], [], {"fixed": 10})
    assert ann.did("doctor")["verdict"] == "GOVERNED"
    assert {one["status"] for one in json.loads(ann.run("snapshot", "-o", "json").out)["stor"]} == {"closed"}
    page = (site / "state" / "waves" / "W8B").glob("*/closeout.md")
    assert "## Attestation" in next(page).read_text()
    assert ann.run("board", "--out", str(site.parent / "board.html")).code == 0
