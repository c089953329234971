"""The role purge_retired: a preview removes nothing, a purge removes what it names and nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.playing import ROOT, RUN, play

pytestmark = pytest.mark.lab

OLD, KEPT = "/var/lib/old-root", "/var/lib/kept-root"


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
