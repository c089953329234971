"""What deletes by name, killed in the middle with its controller: the same plan goes on to its end, and what came since is left to the next one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Running, Target, planned

pytestmark = [pytest.mark.lab, pytest.mark.slow]

HYGIENE, TMP = "docker.hygiene", "storage.tmp_files"
_IMAGES = 20
_BUILD = """
bring() { head -c 1000000 /dev/urandom > /root/release; tar -C /root -c release | docker import - "shop/app:$1" > /dev/null; }
logging() { docker run -d --name "$1" --init --log-driver json-file lab/services:1 sh -c "$2" > /dev/null; }
"""
# Two that no limit holds: one writes from the beginning and goes on, the other one only when it is told to.
_PREPARE = f"""{_BUILD}
for release in $(seq {_IMAGES}); do bring $release; done
sleep 1.1
bring kept
logging talks 'yes a line of the log | head -c 20000000; while sleep 0.2; do echo tick; done'
logging waits 'until [ -e /go ]; do sleep 0.2; done; yes a line of the log | head -c 20000000; echo over; exec sleep infinity'
log=$(docker inspect -f '{{{{.LogPath}}}}' talks)
for try in $(seq 600); do ! tail -c 200 "$log" | grep -q tick || exit 0; sleep 0.2; done; exit 1
"""
_MEANWHILE = f"""{_BUILD}
sleep 1.1
bring came
docker exec waits touch /go
log=$(docker inspect -f '{{{{.LogPath}}}}' waits)
for try in $(seq 600); do ! tail -c 200 "$log" | grep -q over || exit 0; sleep 0.2; done; exit 1
"""
# Stops the tool as soon as its journal says so; what is stopped and killed runs in the machine, and is looked for there alone.
_HOLD = """until grep -qs '{said}' /var/lib/controlplane/*{capability}*/state.json; do :; done
until pkill -STOP -f '^/usr/bin/python3 .*controlplane_target {words}'; do :; done
touch /run/held
"""


def killed_in(host: LabMachine, site: Operator, capability: str, words: str, phase: str, said: str) -> None:
    """Apply the plan, and kill controller and tool in that phase, once the journal of the capability's run says that."""
    host.run(["systemd-run", "--unit=hold", "bash", "-c", _HOLD.format(capability=capability, words=words, said=said)])
    running: Running = site.start("apply", str(site.file("plan.json")), "-o", "json")
    Target(host).wait_for_phase(phase, running=running)
    host.sh("for try in $(seq 600); do [ ! -e /run/held ] || exit 0; sleep 0.1; done; exit 1")
    running.kill()
    host.sh(f"pkill -KILL -f '^/usr/bin/python3 .*controlplane_target {words}'")
    assert [row["state"] for row in site.rows()] == ["open", "open"]


def journal(host: LabMachine, capability: str) -> dict[str, Any]:
    [path] = host.sh(f"ls /var/lib/controlplane/*{capability}*/state.json").split()
    return dict(json.loads(host.sh(f"cat {path}")))


def images(host: LabMachine) -> set[str]:
    return set(host.sh("docker images --format '{{.Repository}}:{{.Tag}}'").split())


def log_size(host: LabMachine, name: str) -> int:
    return int(host.sh(f"stat -c %s $(docker inspect -f '{{{{.LogPath}}}}' {name})"))


def refused_all_the_same(site: Operator) -> None:
    """Whatever else is asked of the open run, or of its host, changes nothing and names the plan."""
    run = site.rows()[0]["run"]
    back = site.run("rollback", run)
    assert (back.code, "go on with it by 'controlplane apply' and its plan file" in back.err) == (4, True), back
    given_up = site.run("runs", "abandon", run, "--reason", "it hangs")
    assert (given_up.code, "Go on: controlplane apply with the plan file" in given_up.err) == (4, True), given_up


def test_a_cleaning_that_was_killed_goes_on_whatever_is_written_and_pulled_meanwhile(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    host.sh(_PREPARE, timeout=600)
    site = Operator(host, tmp_path)
    policy = site.site / "policy.yml"
    limits = "    thresholds: {images: 1MB}\n    docker:\n      hygiene: {keep: 1}\n"
    policy.write_text(policy.read_text().replace("    docker:\n", limits, 1))
    plan = site.plan("plan.json", "--capability", HYGIENE)
    [step] = plan["steps"]
    named = {item["name"] for item in step["variables"]["docker_hygiene_items"]}
    assert named == {"talks", *(f"shop/app:{number}" for number in range(1, _IMAGES + 1))}
    # All that may go is not enough, so no budget is promised; that the log has grown since the plan was made is no matter.
    assert ("images: " in plan["refusals"][0]["reason"], step["mends"]) == (True, [])

    killed_in(host, site, HYGIENE, "[h]ygiene clean", "cleaning", '^  "image ')
    gone = len(journal(host, HYGIENE)["removed"])
    assert 0 < gone < _IMAGES
    host.sh(_MEANWHILE, timeout=600)
    before, written = images(host), log_size(host, "waits")
    refused_all_the_same(site)
    site.plan("other.json", "--capability", HYGIENE)
    other = site.apply("other.json")
    assert (other.code, "an earlier run is still open" in other.err) == (4, True), other
    assert images(host) == before

    result = site.applied()
    assert result["changed"] == planned(plan)
    # By now "kept" is no more the newest one, and the other log is over its limit: neither was in the plan.
    assert images(host) == {"lab/services:1", "shop/app:kept", "shop/app:came"}
    assert (log_size(host, "waits"), log_size(host, "talks") < 30_000_000) == (written, True)
    assert host.sh("docker inspect -f '{{.State.Running}}' talks") == "true\n"
    removed = journal(host, HYGIENE)["removed"]
    assert (len(removed), {one.split(" ")[1] for one in removed}) == (
        _IMAGES + 1,
        {item["id"] for item in step["variables"]["docker_hygiene_items"]},
    )
    again = site.apply()
    assert (again.code, "--capability docker.hygiene --out FILE" in again.err) == (4, True), again
    assert (images(host), log_size(host, "waits")) == ({"lab/services:1", "shop/app:kept", "shop/app:came"}, written)

    # What came since is the next plan's.
    rest = site.plan("rest.json", "--capability", HYGIENE)
    assert {item["name"] for item in rest["steps"][0]["variables"]["docker_hygiene_items"]} == {"shop/app:kept", "waits"}
    assert site.applied("rest.json")["changed"] == planned(rest)
    assert (images(host), log_size(host, "waits")) == ({"lab/services:1", "shop/app:came"}, 0)
    for name in ("plan.json", "rest.json"):
        assert site.applied(name)["changed"] == []
    assert {row["state"] for row in site.rows()} == {"done"}
    site.assert_receipts_hold()


@pytest.mark.long
def test_a_removal_in_tmp_that_was_killed_goes_on_while_others_come_into_the_list(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(data_bytes=2**30)
    # A look lists 200.
    host.sh("mkdir /tmp/many && cd /tmp/many && for n in $(seq -w 230); do truncate -s 20M $n; touch -d '3 days ago' $n; done")
    site = Operator(host, tmp_path)
    plan = site.plan("plan.json", "--capability", TMP)
    [step] = plan["steps"]
    assert [change["target"] for change in step["changes"]] == [f"/tmp/many/{n:03}" for n in range(1, 201)]

    killed_in(host, site, TMP, "[t]mp remove", "removing", "/tmp/many/005")
    left = int(host.sh("ls /tmp/many | wc -l"))
    assert 30 < left < 230
    refused_all_the_same(site)

    result = site.applied()
    assert result["changed"] == planned(plan)
    assert host.sh("ls /tmp/many").split() == [f"{n:03}" for n in range(201, 231)]
    assert set(journal(host, TMP)["removed"]) == {f"/tmp/many/{n:03}" for n in range(1, 201)}
    again = site.apply()
    assert (again.code, "--capability storage.tmp_files --out FILE" in again.err) == (4, True), again

    rest = site.plan("rest.json", "--capability", TMP)
    assert site.applied("rest.json")["changed"] == planned(rest)
    assert host.sh("ls /tmp/many") == ""
    for name in ("plan.json", "rest.json"):
        assert site.applied(name)["changed"] == []
    site.assert_receipts_hold()
