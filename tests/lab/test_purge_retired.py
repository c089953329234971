"""The role purge_retired: a preview removes nothing, a purge removes what it names and nothing beside it, and what was begun is ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator
from tests.lab.playing import ROOT, RUN, play

pytestmark = pytest.mark.lab

OLD, KEPT, ASIDE = "/var/lib/old-root", "/var/lib/kept-root", "/var/lib/.controlplane-purging-old-root"


def state(machine: LabMachine) -> str:
    """Return all that a preview must leave alone."""
    return machine.sh(f"cat /var/lib/controlplane/retired.json; find {OLD} {KEPT} -printf '%p %y %m %s %T@ %i\\n' | sort; ls /var/lib/controlplane")


def test_a_preview_removes_nothing_and_a_purge_only_what_it_names(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    one = machine(data_bytes=2**30)
    one.sh((ROOT / ".config/molecule/prepare/purge_retired.sh").read_text())
    [record] = [entry for entry in json.loads(one.sh("cat /var/lib/controlplane/retired.json"))["retired"] if entry["path"] == OLD]
    item = {name: record[name] for name in ("path", "run", "recorded")}
    wanted = {"purge_retired_run": RUN.format("storage.purge", 1), "purge_retired_items": [item], "purge_retired_retention_s": 604800}

    preview = play(one, "purge_retired", wanted, tmp_path, check=True)
    assert preview.code == 0, preview.text
    assert OLD in preview.said
    before = state(one)
    preview = play(one, "purge_retired", wanted, tmp_path, check=True)
    assert (preview.code, state(one)) == (0, before), preview.text

    first = play(one, "purge_retired", wanted, tmp_path)
    assert first.code == 0, first.text
    assert one.sh(f"ls -d {OLD} {KEPT} 2>/dev/null || true") == f"{KEPT}\n"
    assert one.sh(f"cat {KEPT}/sub/file") == "kept"
    assert [entry["path"] for entry in json.loads(one.sh("cat /var/lib/controlplane/retired.json"))["retired"]] == [KEPT]
    second = play(one, "purge_retired", wanted, tmp_path)
    assert (second.code, second.changed) == (0, 0), second.text


def test_what_is_too_young_by_the_machines_own_clock_is_refused_and_left(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    one = machine(data_bytes=2**30)
    one.sh((ROOT / ".config/molecule/prepare/purge_retired.sh").read_text())
    [record] = [entry for entry in json.loads(one.sh("cat /var/lib/controlplane/retired.json"))["retired"] if entry["path"] == OLD]
    item = {name: record[name] for name in ("path", "run", "recorded")}
    before = one.sh(f"find {OLD} -printf '%p %s %T@\\n' | sort")
    early = {"purge_retired_run": RUN.format("storage.purge", 1), "purge_retired_items": [item], "purge_retired_retention_s": 100 * 365 * 86400}

    refused = play(one, "purge_retired", early, tmp_path)

    assert refused.code != 0, refused.text
    assert f"{OLD} was retired at 2025-01-01T00:00:00Z and is kept until" in refused.said
    assert "Nothing was changed." in refused.said
    assert one.sh(f"find {OLD} -printf '%p %s %T@\\n' | sort") == before


# Kills the removal as soon as the tree has its other name; what is killed runs in the machine, and is looked for there alone.
_KILLER = f"""until [ -e {ASIDE} ]; do :; done
until pkill -KILL -f '^/usr/bin/python3 .*controlplane_target [p]urge purge'; do :; done
"""


def _make_large(one: LabMachine, files: int = 40_000) -> None:
    """Fill the retired tree, so that its removal takes long enough to be killed, and record it anew."""
    one.sh(f"for n in $(seq 40); do mkdir {OLD}/d$n; (cd {OLD}/d$n && seq {files // 40} | xargs touch); done")
    source = (ROOT / "controlplane/adapters/collector/fingerprint.py").read_text()
    done = one.run(["python3", "-"], stdin=f"{source}\nimport json\nprint(json.dumps(fingerprint_tree({OLD!r})))\n".encode())
    recorded, entries, size = json.loads(done.stdout)
    held = json.loads(one.sh("cat /var/lib/controlplane/retired.json"))
    [record] = [entry for entry in held["retired"] if entry["path"] == OLD]
    record.update(recorded=recorded, entries=entries, size=size)
    one.run(["sh", "-c", "cat > /var/lib/controlplane/retired.json"], stdin=json.dumps(held).encode())


def _judged(site: Operator) -> dict[str, tuple[str, str]]:
    findings = site.run("audit", "--check", "D244", "-o", "json").json["findings"]
    return {one["surface"]: (one["verdict"], one["reason"]) for one in findings}


@pytest.mark.long
def test_a_removal_that_is_killed_is_told_to_be_unfinished_and_a_new_plan_ends_it(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    one = machine(data_bytes=2**30)
    one.sh((ROOT / ".config/molecule/prepare/purge_retired.sh").read_text())
    _make_large(one)
    site = Operator(one, tmp_path)
    plan = site.plan("purge.json", "--capability", "storage.purge")
    assert sorted(change["target"] for change in plan["steps"][0]["changes"]) == [KEPT, OLD]
    one.run(["systemd-run", "--unit=killer", "bash", "-c", _KILLER])

    failed = site.apply("purge.json")

    assert failed.code == 1, failed
    assert one.sh(f"ls -d {OLD} {ASIDE} 2>/dev/null || true") == f"{ASIDE}\n"
    assert {change["target"]: change["status"] for change in failed.json["changed"]}[OLD] == "not-done"
    verdict, reason = _judged(site)[f"retired:{OLD}"]
    assert verdict == "DRIFTED"
    assert "was begun by CAP-" in reason
    assert f"left in {ASIDE}" in reason
    again = site.apply("purge.json")
    assert again.code == 4, again
    assert "no longer fits" in again.err

    site.plan("rest.json", "--capability", "storage.purge")
    site.applied("rest.json")

    assert one.sh(f"ls -d {OLD} {ASIDE} {KEPT} /var/lib/.controlplane-purging-kept-root 2>/dev/null || true") == ""
    assert json.loads(one.sh("cat /var/lib/controlplane/retired.json"))["retired"] == []
    assert {journal["phase"] for journal in _journals(one)} == {"done"}
    assert _judged(site) == {"retired:*": ("MET", "nothing that was retired is left")}
    for name in ("purge.json", "rest.json"):
        assert site.applied(name)["changed"] == []


def _journals(one: LabMachine) -> list[dict[str, str]]:
    return [json.loads(one.sh(f"cat {path}")) for path in one.sh("ls /var/lib/controlplane/*storage.purge*/state.json").split()]


def test_what_lies_under_the_other_name_and_no_run_put_there_is_left_alone(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    one = machine(data_bytes=2**30)
    one.sh((ROOT / ".config/molecule/prepare/purge_retired.sh").read_text())
    one.sh(f"mv {OLD} {ASIDE}")
    site = Operator(one, tmp_path)

    plan = site.plan("purge.json", "--capability", "storage.purge")

    assert [change["target"] for change in plan["steps"][0]["changes"]] == [KEPT]
    assert f"{ASIDE} is there, and no journal on the host says" in str(plan["refusals"])
    [record] = [entry for entry in json.loads(one.sh("cat /var/lib/controlplane/retired.json"))["retired"] if entry["path"] == OLD]
    item = {name: record[name] for name in ("path", "run", "recorded")}
    wanted = {"purge_retired_run": RUN.format("storage.purge", 1), "purge_retired_items": [item], "purge_retired_retention_s": 0}
    refused = play(one, "purge_retired", wanted, tmp_path / "play")
    assert refused.code != 0, refused.text
    assert f"{ASIDE} is there, and no journal on this host says" in refused.said
    assert one.sh(f"cat {ASIDE}/sub/file") == "kept"
