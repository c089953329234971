"""The example site's pack of eighteen checks on machines like its own: five judged on them, thirteen by its own files, and earned by three runs."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import ROOT, Said
from tests.lab.waving import Leader

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
MINT = ROOT / "inventory/mint"
HOSTS = {"mint-apps", "mint-data"}
STORAGE = {"D235", "D236", "D237", "D238", "D239"}
OWN = {"D174", "D195", "D196", "D197", "D198", "D199", "D203", "D204", "D205", "D222", "D225", "D226", "D227"}
# Those that nothing of what the waves are for keeps from being enforced.
EARNED = sorted(OWN | {"D237", "D239"})
Found = Counter[tuple[str, str, str, str]]


def changed(path: Path, **swaps: str) -> None:
    """Replace what is there once."""
    text = path.read_text()
    for old, new in swaps.items():
        assert text.count(old) == 1, (path, old)
        text = text.replace(old, new)
    path.write_text(text)


def mint(folder: Path, machines: Mapping[str, LabMachine]) -> Path:
    """Return a copy of the example site whose hosts are these machines; their disks have a backing file where its own have a serial."""
    site = folder / "mint"
    shutil.copytree(MINT, site, ignore=shutil.ignore_patterns("state"))
    names = {f"{name}.example.org": one.name for name, one in machines.items()}
    way = f'    ansible_ssh_common_args: "-F {machines["mint-data"].ssh_config}"\n'
    changed(site / "hosts.yml", **names, **{"ansible_user: ops": "ansible_user: root", "    ansible_become: true\n": way})
    disk = f"loop_file: {machines['mint-data'].data_file}, min_size: 1GB, max_size: 600GB,"
    changed(site / "policy.yml", **{"serial: DATA0001, min_size: 100GB, max_size: 300GB,": disk})
    return site


def of_json(said: Said) -> Found:
    return Counter((one["host"], one["check"], one["surface"], one["verdict"]) for one in said.json["findings"])


def of_junit(said: Said) -> Found:
    verdicts = {"failure": "DRIFTED", "error": "UNKNOWN", "skipped": "WAIVED"}
    cases = ET.fromstring(said.out).iter("testcase")  # noqa: S314 - a document of our own
    told: Found = Counter()
    for case in cases:
        host, check = case.attrib["classname"].rsplit(".", 1)
        [verdict] = [verdicts[child.tag] for child in case] or ["MET"]
        told[host, check, case.attrib["name"], verdict] += 1
    return told


def of_sarif(said: Said) -> Found:
    told = []
    [run] = json.loads(said.out)["runs"]
    for result in run["results"]:
        [place] = result["locations"][0]["logicalLocations"]
        host = place["fullyQualifiedName"].removesuffix(f"/{place['name']}")
        told.append((host, result["ruleId"], place["name"], result["properties"]["verdict"]))
    return Counter(told)


class Scene:
    """The site, its two machines, and the operator."""

    def __init__(self, machines: Mapping[str, LabMachine], folder: Path) -> None:
        self.machines = machines
        self.ann = Leader(mint(folder, machines))
        self.begun = int(time.time())

    def run(self, output: str = "json", code: int = 0) -> Said:
        said = self.ann.run("gates", "run", "mint", "-o", output)
        assert said.code == code, said
        return said

    def standings(self, code: int = 0) -> dict[str, set[tuple[str, int, str | None]]]:
        """Return mode, streak and proposal of each check, over its hosts."""
        told: dict[str, set[tuple[str, int, str | None]]] = {}
        for one in self.ann.did("gates", "status", code=code)["standings"]:
            told.setdefault(one["check"], set()).add((one["mode"], one["streak"], one["proposes"]))
        return told


def all_eighteen_are_judged_on_fresh_evidence_and_by_pytest(scene: Scene) -> Found:
    said = scene.run()
    report: dict[str, Any] = said.json
    assert report["silent"] == []
    judged: dict[str, set[str]] = {}
    for one in report["findings"]:
        judged.setdefault(one["check"], set()).add(one["host"])
    assert judged == {check: HOSTS if check in STORAGE else {"site"} for check in STORAGE | OWN}
    assert report["summary"]["unknown"] == 0
    assert {one["host"] for one in report["hosts"]} == HOSTS
    for one in report["hosts"]:
        assert one["reached"]
        assert datetime.fromisoformat(one["collected_at"].replace("Z", "+00:00")).timestamp() >= scene.begun
    tests = {one["surface"].removeprefix("check:") for one in report["findings"] if one["check"] in OWN}
    files = "".join(path.read_text() for path in (MINT / "checks").glob("test_*.py"))
    assert tests == set(re.findall(r"^def (test_\w+)", files, re.MULTILINE))
    # The machines are as the example begins, and each drift of theirs belongs to a finding on its registers.
    drifted = {(one["check"], one["host"]) for one in report["findings"] if one["verdict"] == "DRIFTED"}
    assert drifted == {("D235", "mint-data"), ("D236", "mint-data"), ("D238", "mint-apps")}
    assert all(one["stor"] for one in report["findings"] if one["verdict"] == "DRIFTED")
    assert all(one["passed"] for one in report["passing"])
    return of_json(said)


def junit_and_sarif_hold_the_same(scene: Scene, first: Found) -> None:
    assert of_junit(scene.run("junit")) == first
    time.sleep(1.1)
    assert of_sarif(scene.run("sarif")) == first


def three_runs_earn_a_promotion_once_they_are_far_enough_apart(scene: Scene) -> None:
    proposal = scene.ann.site.parent / "promotion.json"
    # The site wants a day between two runs: so far there is one.
    assert scene.standings() == {check: {("report", 1, None)} for check in STORAGE | OWN}
    refused = scene.ann.run("gates", "promote", *EARNED, "--out", str(proposal))
    assert (refused.code, proposal.exists()) == (4, False), refused
    changed(scene.ann.site / "gates.yml", **{"interval: 24h": "interval: 1s"})
    assert scene.standings() == {check: {("report", 3, "promote")} for check in STORAGE | OWN}
    scene.ann.did("gates", "promote", *EARNED, "--out", str(proposal))
    scene.ann.did("approve", str(proposal))
    scene.ann.did("gates", "promote", "--apply", str(proposal))
    assert {check for check, stood in scene.standings().items() if stood == {("enforce", 3, None)}} == set(EARNED)


def what_is_enforced_fails_the_run_and_what_only_reports_does_not(scene: Scene) -> None:
    scene.machines["mint-apps"].sh("head -c 12000000 /dev/zero > /tmp/left-behind")
    changed(scene.ann.site / "registry/services.yml", **{"  redis:\n    owner: platform\n": "  redis:\n"})
    report = scene.run(code=3).json
    told = {(one["check"], one["host"], one["mode"]): one["reason"] for one in report["findings"] if one["verdict"] == "DRIFTED"}
    assert "services.redis.owner is missing" in told["D174", "site", "enforce"]
    assert {one["surface"]: one["verdict"] for one in report["findings"] if one["check"] == "D238"}["tmp:/tmp/left-behind"] == "DRIFTED"
    assert {mode for check, _, mode in told if check != "D174"} == {"report"}
    assert scene.standings(code=3)["D174"] == {("enforce", 0, "demote")}
    scene.ann.assert_receipts_hold()


# The waves of test_example_site.py rest on it as well.
@pytest.mark.long
def test_the_pack_of_the_example_site_is_judged_whole_and_earned_on_machines(machine: Make, tmp_path: Path) -> None:
    machines = {"mint-data": machine(services=True), "mint-apps": machine(services=True, data_disk=False)}
    machines["mint-data"].lab.seed(machines["mint-data"].name, stack="mint-data", rows=500, keys=50, objects=4)
    machines["mint-apps"].lab.seed(machines["mint-apps"].name, stack="mint-apps")
    scene = Scene(machines, tmp_path)
    first = all_eighteen_are_judged_on_fresh_evidence_and_by_pytest(scene)
    junit_and_sarif_hold_the_same(scene, first)
    three_runs_earn_a_promotion_once_they_are_far_enough_apart(scene)
    what_is_enforced_fails_the_run_and_what_only_reports_does_not(scene)
