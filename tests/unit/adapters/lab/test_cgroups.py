"""What is frozen in a machine's groups is let go before it is ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.adapters.lab import cgroups


def test_everything_below_a_machine_is_thawed_in_either_kind_of_hierarchy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frozen = tmp_path / "freezer/m/docker/paused/freezer.state"
    also = tmp_path / "unified/m/payload/docker/paused/cgroup.freeze"
    for file, word in ((frozen, "FROZEN"), (also, "1")):
        file.parent.mkdir(parents=True)
        file.write_text(word)
    monkeypatch.setattr(cgroups, "groups", lambda name: [tmp_path / "freezer" / name, tmp_path / "unified" / name, tmp_path / "gone" / name])
    cgroups.thaw("m")
    assert (frozen.read_text(), also.read_text()) == ("THAWED", "0")
