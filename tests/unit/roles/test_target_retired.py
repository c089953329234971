"""What is retired is removed only by name, unchanged and unused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import retired
from controlplane_target.faults import RefusedFault
from controlplane_target.state import Home

NOW = 1_767_225_600.0
WEEK = 7 * 86400


@pytest.fixture(autouse=True)
def _nobody_uses_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane_target.open_files.users_of", lambda _tree: [])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "controlplane")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    old = tmp_path / "old"
    (old / "volumes/one").mkdir(parents=True)
    (old / "volumes/one/data").write_bytes(b"data")
    (old / "link").symlink_to("/etc")
    return old


def retire(home: Home, old: Path) -> dict[str, Any]:
    retired.retire(home, "R1", [{"from": str(old), "to": "/mnt/data/docker"}], now=NOW)
    [record] = home.retired()
    return {key: record[key] for key in ("path", "run", "recorded")}


def terms(*roots: str, retention_s: int = WEEK, age_s: float = WEEK) -> retired.Terms:
    return retired.Terms(list(roots), retention_s, NOW + age_s)


def manifest(tree: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in tree.rglob("*"))


def test_a_retired_tree_is_on_record_with_its_fingerprint(home: Home, old: Path) -> None:
    retire(home, old)
    [record] = home.retired()
    assert record["path"] == str(old)
    assert (record["run"], record["retired_at"], record["entries"], record["replaced_by"]) == ("R1", "2026-01-01T00:00:00Z", 4, "/mnt/data/docker")
    assert record["recorded"].startswith("sha256:")


def test_an_unchanged_tree_is_removed_with_its_record_and_a_second_call_changes_nothing(home: Home, old: Path) -> None:
    item = retire(home, old)
    assert retired.purge(home, [item], terms("/mnt/data/docker")) == [str(old)]
    assert not old.exists()
    assert home.retired() == []
    assert Path("/etc/passwd").exists()
    assert retired.purge(home, [item], terms("/mnt/data/docker")) == []


def test_an_interrupted_removal_is_ended_by_the_same_call(home: Home, old: Path) -> None:
    item = retire(home, old)
    old.rename(old.with_name(".controlplane-purging-old"))
    assert retired.present([item]) == [str(old)]
    assert retired.purge(home, [item], terms()) == [str(old)]
    assert sorted(path.name for path in old.parent.iterdir()) == ["controlplane"]


def _write(old: Path) -> None:
    (old / "volumes/one/data").write_bytes(b"newer")


def _touch(old: Path) -> None:
    os.utime(old / "volumes/one/data", (1, 1))


def _add(old: Path) -> None:
    (old / "volumes/more").write_bytes(b"")


@pytest.mark.parametrize("change", [_write, _touch, _add])
def test_a_tree_that_someone_changed_since_is_refused_and_left(home: Home, old: Path, change: Any) -> None:
    item = retire(home, old)
    change(old)
    before = manifest(old)
    with pytest.raises(RefusedFault, match="changed since it was retired") as fault:
        retired.purge(home, [item], terms())
    assert str(fault.value).endswith("Nothing was changed.")
    assert manifest(old) == before
    assert len(home.retired()) == 1


@pytest.mark.parametrize(
    ("changes", "roots", "reason"),
    [
        ({"run": "R2"}, [], "was retired by R1"),
        ({"recorded": "sha256:0"}, [], "make a new plan"),
        ({"path": "/etc"}, [], "below a directory"),
        ({"path": "/usr/share"}, [], "/usr/share is not recorded as retired"),
        ({"path": "/usr/../usr/share"}, [], "no absolute, normalised path"),
        ({}, ["{old}"], "live root"),
        ({}, ["{old}/volumes"], "live root"),
    ],
)
def test_what_is_not_exactly_on_record_is_refused(home: Home, old: Path, changes: dict[str, str], roots: list[str], reason: str) -> None:
    item = {**retire(home, old), **changes}
    before = manifest(old)
    with pytest.raises(RefusedFault, match=reason):
        retired.purge(home, [item], terms(*(root.format(old=old) for root in roots)))
    assert manifest(old) == before


@pytest.mark.parametrize(
    ("retired_at", "age_s", "reason"),
    [
        (
            None,
            WEEK - 1,
            "was retired at 2026-01-01T00:00:00Z and is kept until 2026-01-08T00:00:00Z; by this host's clock it is 2026-01-07T23:59:59Z",
        ),
        (None, -1, "is kept until"),
        ("soon", WEEK, r"has no readable date of retirement on this host \(soon\)"),
        ("2026-01-01T00:00:00", WEEK, "has no readable date of retirement"),
    ],
)
def test_what_is_too_young_by_the_hosts_own_record_is_refused_and_left(
    home: Home, old: Path, retired_at: str | None, age_s: float, reason: str
) -> None:
    item = retire(home, old)
    if retired_at is not None:
        home.write_retired([{**record, "retired_at": retired_at} for record in home.retired()])
    before = manifest(old)
    with pytest.raises(RefusedFault, match=reason):
        retired.purge(home, [item], terms(age_s=age_s))
    assert manifest(old) == before
    assert len(home.retired()) == 1


def test_what_was_retired_after_now_is_too_young_without_any_retention(home: Home, old: Path) -> None:
    item = retire(home, old)
    with pytest.raises(RefusedFault, match="is kept until"):
        retired.purge(home, [item], terms(retention_s=0, age_s=-1))


def test_a_tree_in_use_is_refused_by_who_uses_it(home: Home, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = retire(home, old)
    monkeypatch.setattr("controlplane_target.open_files.users_of", lambda _tree: ["tail (pid 7) has /x open"])
    with pytest.raises(RefusedFault, match=r"is in use: tail \(pid 7\) has /x open"):
        retired.purge(home, [item], terms())
    assert old.exists()


def test_a_tree_that_an_open_run_needs_is_refused(home: Home, old: Path) -> None:
    item = retire(home, old)
    home.run("R3").write(phase="staging", trees=[{"from": "/mnt/data/docker", "to": str(old)}])
    with pytest.raises(RefusedFault, match="run R3 is open and needs"):
        retired.purge(home, [item], terms())


def test_one_reason_refuses_all_items(home: Home, old: Path) -> None:
    item = retire(home, old)
    with pytest.raises(RefusedFault):
        retired.purge(home, [item, {**item, "path": "/usr/share"}], terms())
    assert old.exists()


def test_the_fingerprint_is_the_collectors_own() -> None:
    root = Path(__file__).resolve().parents[3]
    ours = root / "roles/target_run/files/controlplane_target/fingerprint.py"
    assert ours.read_bytes() == (root / "controlplane/adapters/collector/fingerprint.py").read_bytes()
