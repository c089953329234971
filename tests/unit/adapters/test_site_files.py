from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.adapters.new_folder import NewSiteFolder
from controlplane.adapters.site_files import SiteFolder, find_site
from controlplane.domain.errors import InputInvalidError, RefusedError
from controlplane.usecases.check_policy import check_policy
from controlplane.usecases.init_site import init_site
from controlplane.usecases.show_policy import show_policy
from tests.fakes.command_line import command_line

ROOT = Path(__file__).parents[3]


def new_site(folder: Path) -> Path:
    init_site(NewSiteFolder(folder))
    return folder


def test_what_init_writes_validates(tmp_path: Path) -> None:
    report = check_policy(SiteFolder(new_site(tmp_path / "My Site")), run_inventory=False)
    assert (report.site, report.hosts, report.groups, report.inventory_checked, report.notes) == ("my-site", 2, 1, True, ())


def test_the_gates_and_registers_that_init_writes_are_ready_to_be_used(tmp_path: Path) -> None:
    content = SiteFolder(new_site(tmp_path / "s")).read(run_inventory=False)
    assert content.governance.faults == ()
    assert content.governance.gates.packs["storage"].checks == ("D235", "D236", "D237", "D238", "D239")
    assert content.governance.registers is not None
    # What the comments show is valid as well, once it is no comment.
    for name, empty in (("gaps", "gaps: {}"), ("loops", "loops: {}"), ("findings", "findings: {}")):
        file = tmp_path / "s" / "registers" / f"{name}.yml"
        record = file.read_text().splitlines()[1].removeprefix("# ")
        file.write_text(file.read_text().replace(empty, f"{name}:\n  {record}"))
    gates = tmp_path / "s" / "gates.yml"
    shown = [line.removeprefix("# ") for line in gates.read_text().splitlines() if re.match(r"# (modes|expected|checks|  )", line)]
    gates.write_text(gates.read_text() + "\n".join(shown) + "\n")
    (tmp_path / "s" / "checks").mkdir()
    (tmp_path / "s" / "checks" / "test_s001_owners.py").touch()
    held = SiteFolder(tmp_path / "s").read(run_inventory=False).governance
    assert [str(fault) for fault in held.faults] == []
    assert (held.gates.mode("D235", "db1"), len(held.gates.expected), list(held.gates.checks)) == ("enforce", 1, ["S001"])


def test_init_refuses_a_file_where_a_folder_of_its_is_to_be(tmp_path: Path) -> None:
    (tmp_path / "registers").write_text("mine")
    with pytest.raises(RefusedError, match="holds registers already"):
        new_site(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["registers"]


def test_init_writes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "policy.yml").write_text("mine")
    with pytest.raises(RefusedError) as caught:
        new_site(tmp_path)
    assert str(caught.value) == f"{tmp_path} holds policy.yml already: name another folder, or edit what is there. Nothing was written."
    assert [path.name for path in tmp_path.iterdir()] == ["policy.yml"]
    assert (tmp_path / "policy.yml").read_text() == "mine"


def test_init_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(RefusedError) as caught:
        new_site(tmp_path / "x")
    assert str(caught.value) == f"{tmp_path}/x is a file: name a folder. Nothing was written."


def test_the_example_site_validates() -> None:
    assert check_policy(SiteFolder(ROOT / "inventory/mint"), run_inventory=False).hosts == 2


def test_faults_of_all_three_files_are_listed_together(tmp_path: Path) -> None:
    folder = new_site(tmp_path / "s")
    (folder / "site.yml").write_text("name: s\ntimezone: Mars\n")
    (folder / "hosts.yml").write_text("all: {hosts: {Web1: }}\n")
    (folder / "policy.yml").write_text("version: 1\nhosts: {h: {tier: x, nope: 1}}\n")
    with pytest.raises(InputInvalidError) as caught:
        SiteFolder(folder).read(run_inventory=False)
    assert [(fault.file.removeprefix(f"{folder}/"), fault.line, fault.field) for fault in caught.value.faults] == [
        ("hosts.yml", 1, "all.hosts.Web1"),
        ("policy.yml", 2, "hosts.h.nope"),
        ("policy.yml", 2, "hosts.h.tier"),
        ("site.yml", 2, "timezone"),
    ]


def faults_of(folder: Path) -> list[str]:
    with pytest.raises(InputInvalidError) as caught:
        check_policy(SiteFolder(folder), run_inventory=False)
    return [str(fault).removeprefix(f"{folder}/") for fault in caught.value.faults]


def test_faults_of_registers_waves_and_releases_are_listed_with_those_of_the_policy(tmp_path: Path) -> None:
    folder = new_site(tmp_path / "s")
    policy = folder / "policy.yml"
    policy.write_text(policy.read_text().replace("tier: boot-only", "tier: bot-only"))
    (folder / "registers/gaps.yml").write_text("gaps:\n  GAP-OP-1:\n    titel: x\n    loops: []\n")
    (folder / "waves").mkdir(exist_ok=True)
    (folder / "waves/W1.yml").write_text("gaol: x\n")
    (folder / "releases").mkdir(exist_ok=True)
    (folder / "releases/shop.yml").write_text("gaol: x\n")
    (folder / "gates.yml").write_text("mode: {}\n")
    found = faults_of(folder)
    files = {fault.partition(":")[0] for fault in found}
    assert files == {"policy.yml", "registers/gaps.yml", "waves/W1.yml", "releases/shop.yml", "gates.yml"}


@pytest.mark.parametrize("text", ["version: 1\nhosts: [\n", "version: 1\nhosts: 3\n", "[]\n"])
def test_rows_that_could_not_be_read_are_not_told_to_be_missing(tmp_path: Path, text: str) -> None:
    folder = new_site(tmp_path / "s")
    (folder / "policy.yml").write_text(text)
    assert all(fault.startswith("policy.yml") and "lives in the inventory" not in fault for fault in faults_of(folder))


def test_a_hypervisor_is_not_told_to_lack_its_row_where_the_machines_could_not_be_read(tmp_path: Path) -> None:
    folder = new_site(tmp_path / "s")
    hosts = folder / "hosts.yml"
    hosts.write_text(hosts.read_text() + "hypervisors: {hosts: {hv1: }}\n")
    assert [fault.partition(": lives")[0] for fault in faults_of(folder)] == ["policy.yml: hosts.hv1"]
    (folder / "machines.yml").write_text("hypervisors: [\n")
    assert [fault.partition(":")[0] for fault in faults_of(folder)] == ["machines.yml"]


def test_a_waiver_that_would_waive_nothing_is_a_fault(tmp_path: Path) -> None:
    folder = new_site(tmp_path)
    host = next(iter(SiteFolder(folder).read(run_inventory=False).policy.hosts))
    policy = folder / "policy.yml"
    given = f"host: {host}, reason: r, approved_by: ops, expires: 2030-01-01"
    policy.write_text(policy.read_text() + f"waivers:\n  - {{check: D237, {given}}}\n  - {{check: S001, {given}}}\n")
    [told] = faults_of(folder)
    line = len(policy.read_text().splitlines())
    assert told.startswith(f"policy.yml:{line}: waivers.1.check: S001 is no check of this program, so nothing would be waived: name one of D234, ")
    assert told.endswith("What a check of the site's own finds is expected by a STOR finding with an open gap")


def test_a_control_character_hides_no_other_fault_of_its_file(tmp_path: Path) -> None:
    folder = new_site(tmp_path / "s")
    policy = folder / "policy.yml"
    policy.write_text(policy.read_text().replace("tier: boot-only", "tier: bot-only  # \x07"))
    (told, tier) = faults_of(folder)
    assert "holds the control character '\\x07': remove it" in told
    assert "'bot-only' is no tier of this policy" in tier
    assert told.split(":")[1] == tier.split(":")[1]


def test_a_site_that_is_valid_reports_its_inventory(tmp_path: Path) -> None:
    folder = new_site(tmp_path / "s")
    (folder / "hosts.yml").write_text("all: {hosts: {Web1: }}\n")
    with pytest.raises(InputInvalidError) as caught:
        SiteFolder(folder).read(run_inventory=False)
    assert [str(fault).removeprefix(f"{folder}/") for fault in caught.value.faults] == [
        "hosts.yml:1: all.hosts.Web1: 'Web1' is no host name: it has to match [a-z0-9][a-z0-9._-]{0,252}"
    ]


def test_without_its_script_an_inventory_is_left_out_and_said_so(tmp_path: Path) -> None:
    folder = new_site(tmp_path / "s")
    listed = {"servers": {"hosts": ["web1", "db1"]}, "_meta": {"hostvars": {}}}
    (folder / "hosts.yml").unlink()
    (folder / "hosts").write_text(f"#!/bin/sh\necho '{json.dumps(listed)}'\n")
    (folder / "hosts").chmod(0o755)
    site = (folder / "site.yml").read_text().replace("hosts.yml ", "hosts ")
    (folder / "site.yml").write_text(site)
    left = check_policy(SiteFolder(folder), run_inventory=False)
    assert not left.inventory_checked
    assert "was not run" in left.notes[0]
    run = check_policy(SiteFolder(folder), run_inventory=True)
    assert run.inventory_checked
    assert run.notes == ()


def test_show_names_a_host_that_is_near(tmp_path: Path) -> None:
    site = SiteFolder(new_site(tmp_path / "s"))
    assert show_policy(site, "db1", run_inventory=False)[0].docker.data_root == "/mnt/data/docker"
    with pytest.raises(InputInvalidError) as caught:
        show_policy(site, "db2", run_inventory=False)
    assert str(caught.value) == "command line: --host: 'db2' is no host of the policy: did you mean 'db1'?"


def test_the_site_is_the_named_one_or_the_only_one(tmp_path: Path) -> None:
    one = new_site(tmp_path / "inventory/one")
    assert find_site(None, {}, tmp_path) == one
    two = new_site(tmp_path / "inventory/two")
    assert find_site(str(two), {"CONTROLPLANE_SITE": str(one)}, tmp_path) == two
    assert find_site(None, {"CONTROLPLANE_SITE": str(one)}, tmp_path) == one


@pytest.mark.parametrize(
    ("given", "sites", "said"),
    [
        (None, [], "--site: there is no site folder under inventory/ here: name one, or write one with 'controlplane init DIR'"),
        (None, ["a", "b"], "--site: there are several site folders here (inventory/a, inventory/b): name one with --site or $CONTROLPLANE_SITE"),
        ("no", ["a"], "--site: no is no folder: name a site folder, or write one with 'controlplane init no'"),
    ],
)
def test_a_site_that_cannot_be_told_is_refused(tmp_path: Path, given: str | None, sites: list[str], said: str) -> None:
    for name in sites:
        new_site(tmp_path / "inventory" / name)
    with pytest.raises(InputInvalidError) as caught:
        find_site(given, {}, tmp_path)
    assert str(caught.value) == f"command line: {said}"


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "controlplane", *arguments]
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)


LOUD = """\
import os, runpy, sys
REACHES_OUT = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec")
def heard(event, arguments):
    if event in REACHES_OUT:
        os._exit(99)
sys.addaudithook(heard)
sys.argv = ["controlplane", *sys.argv[1:]]
runpy.run_module("controlplane", run_name="__main__")
"""


@pytest.mark.parametrize("version", ["1", "2"], ids=["valid", "faulty"])
def test_a_check_of_the_policy_reaches_out_to_nobody(tmp_path: Path, version: str) -> None:
    new_site(tmp_path / "inventory/s")
    policy = tmp_path / "inventory/s/policy.yml"
    policy.write_text(policy.read_text().replace("version: 1", f"version: {version}"))
    argv = [sys.executable, "-c", LOUD, "policy", "check"]
    done = subprocess.run(argv, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if version == "1" else 2), done.stderr


def test_the_ear_hears_what_does_reach_out(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", LOUD, "audit", "--target", "root@127.0.0.1"]
    done = subprocess.run(argv, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 99


def test_the_command_line_checks_shows_and_exits_as_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call = command_line(monkeypatch, capsys)
    made = run("init", "inventory/s", folder=tmp_path)
    assert (made.returncode, made.stdout.splitlines()[0]) == (0, "wrote inventory/s/site.yml")
    good = call("policy", "check")
    assert good.code == 0
    assert good.out.startswith("s: valid, 2 hosts, 1 group, 0 waivers, policy sha256:")
    shown = call("policy", "show", "--host", "db1", "-o", "json").json()
    assert shown["thresholds"]["images"] == 15 * 1000**3
    policy = tmp_path / "inventory/s/policy.yml"
    policy.write_text(policy.read_text().replace("version: 1", "version: 1\nversion: 1").replace("tier: boot-only", "tier: bot-only"))
    bad = run("policy", "check", folder=tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.splitlines()[0] == "2 faults; no connection was made."
    bad_json = call("policy", "check", "-o", "json")
    assert bad_json.code == 2
    assert [fault["field"] for fault in bad_json.json()["faults"]] == ["version", "hosts.web1.tier"]
