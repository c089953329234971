"""What is retired is removed only by name, unchanged and unused."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import begun, purge, purge_judge, purge_users, purge_verbs, retired, verbs
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.purge_users import Users
from controlplane_target.state import Home

from tests.unit.roles.leased import claimed

NOW = 1_767_225_600.0
WEEK = 7 * 86400


@pytest.fixture(autouse=True)
def _nobody_uses_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_users, "look", lambda _tree: Users([], is_stood_on=False))


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


def terms(*roots: str, retention_s: int = WEEK, age_s: float = WEEK) -> purge.Terms:
    return purge.Terms(list(roots), retention_s, NOW + age_s)


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
    assert purge.purge(home, home.run("P1"), [item], terms("/mnt/data/docker")) == [str(old)]
    assert not old.exists()
    assert home.retired() == []
    assert Path("/etc/passwd").exists()
    assert purge.purge(home, home.run("P1"), [item], terms("/mnt/data/docker")) == []


def test_a_tree_that_changed_keeps_the_unchanged_one_before_it_whole(home: Home, old: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("kept")
    retired.retire(home, "R1", [{"from": str(old), "to": "/new"}, {"from": str(other), "to": "/newer"}], now=NOW)
    items = [{key: record[key] for key in ("path", "run", "recorded")} for record in home.retired()]
    assert [item["path"] for item in items] == [str(old), str(other)]
    (other / "file").write_text("newer")
    before = manifest(tmp_path)
    with pytest.raises(RefusedFault, match="other changed since it was retired"):
        purge.purge(home, home.run("P1"), items, terms())
    assert manifest(old) + manifest(other) == [entry for entry in before if entry[0].startswith((f"{old}/", f"{other}/"))]
    assert not (home.base / "P1").exists()


def test_what_can_t_be_read_is_refused_and_left(home: Home, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = retire(home, old)

    def broken(path: str) -> Any:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(purge_judge, "fingerprint_tree", broken)
    with pytest.raises(RefusedFault, match=r"can't be read: \[Errno 5\].*Nothing was changed"):
        purge.purge(home, home.run("P1"), [item], terms())
    assert old.exists()


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
        purge.purge(home, home.run("P1"), [item], terms())
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
        purge.purge(home, home.run("P1"), [item], terms(*(root.format(old=old) for root in roots)))
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
        purge.purge(home, home.run("P1"), [item], terms(age_s=age_s))
    assert manifest(old) == before
    assert len(home.retired()) == 1


def test_what_was_retired_after_now_is_too_young_without_any_retention(home: Home, old: Path) -> None:
    item = retire(home, old)
    with pytest.raises(RefusedFault, match="is kept until"):
        purge.purge(home, home.run("P1"), [item], terms(retention_s=0, age_s=-1))


def test_a_tree_in_use_is_refused_by_who_uses_it(home: Home, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = retire(home, old)
    monkeypatch.setattr(purge_users, "look", lambda _tree: Users(["tail (pid 7) has /x open"], is_stood_on=False))
    with pytest.raises(RefusedFault, match=r"is in use: tail \(pid 7\) has /x open"):
        purge.purge(home, home.run("P1"), [item], terms())
    assert old.exists()


def test_a_tree_that_an_open_run_needs_is_refused(home: Home, old: Path) -> None:
    item = retire(home, old)
    home.run("R3").write(phase="staging", trees=[{"from": "/mnt/data/docker", "to": str(old)}])
    with pytest.raises(RefusedFault, match="run R3 is open and needs"):
        purge.purge(home, home.run("P1"), [item], terms())


def test_one_reason_refuses_all_items(home: Home, old: Path) -> None:
    item = retire(home, old)
    with pytest.raises(RefusedFault):
        purge.purge(home, home.run("P1"), [item, {**item, "path": "/usr/share"}], terms())
    assert old.exists()


def test_the_fingerprint_is_the_collectors_own() -> None:
    root = Path(__file__).resolve().parents[3]
    ours = root / "roles/target_run/files/controlplane_target/fingerprint.py"
    assert ours.read_bytes() == (root / "controlplane/adapters/collector/fingerprint.py").read_bytes()


# What a removal leaves that was stopped half-way.


class _Killed(BaseException):
    """What no handler catches, as a SIGKILL."""


def _fail_at(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Let the deletion end at the entry `name`."""
    unlink = os.unlink

    def failing(path: Any, **options: Any) -> None:
        if path == name:
            raise error
        unlink(path, **options)

    monkeypatch.setattr("controlplane_target.purge.os.unlink", failing)


@pytest.fixture
def half(home: Home, old: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What P1 was to remove, and failed to, after it had been renamed."""
    item = retire(home, old)
    with monkeypatch.context() as patched:
        _fail_at(patched, "data", OSError(5, "Input/output error", "data"))
        with pytest.raises(FailedFault) as fault:
            purge.purge(home, home.run("P1"), [item], terms("/mnt/data/docker"))
    aside = begun.aside_of(str(old))
    assert str(fault.value).startswith(f"the removal of {old} stopped: [Errno 5] Input/output error: 'data'. What is left of it lies in {aside}. ")
    assert str(fault.value).endswith("controlplane plan --capability storage.purge")
    assert not old.exists()
    assert Path(aside, "volumes/one/data").exists()
    return item


def _aside(item: dict[str, Any]) -> Path:
    return Path(begun.aside_of(item["path"]))


def _closed(home: Home) -> bool:
    return home.retired() == [] and all(run.state.get("purging", []) == [] for run in home.runs())


@pytest.mark.parametrize("run", ["P1", "P2"])
def test_a_removal_that_was_begun_is_ended_by_the_same_run_or_a_later_one_and_a_third_changes_nothing(
    home: Home, half: dict[str, Any], run: str
) -> None:
    assert begun.present(home, [half]) == [half["path"]]
    assert home.run("P1").phase == "purging"

    assert purge.purge(home, home.run(run), [half], terms(retention_s=100 * WEEK)) == [half["path"]]

    assert sorted(path.name for path in _aside(half).parent.iterdir()) == ["controlplane"]
    assert _closed(home)
    assert begun.present(home, [half]) == []
    if run == "P2":
        assert (home.run("P1").phase, home.run("P1").state["ended_by"]) == ("done", "P2")
    assert purge.purge(home, home.run("P3"), [half], terms()) == []


def test_what_an_earlier_run_removed_and_could_not_strike_off_is_struck_off_by_the_next_one(
    home: Home, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = retire(home, old)
    other = tmp_path / "other"
    other.mkdir()
    retired.retire(home, "R2", [{"from": str(other), "to": "/mnt/data/other"}], now=NOW)
    second = {key: next(record for record in home.retired() if record["path"] == str(other))[key] for key in ("path", "run", "recorded")}

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(begun, "close", killed)
        with pytest.raises(KeyboardInterrupt):
            purge.purge(home, home.run("P1"), [first, second], terms())
    assert (old.exists(), _aside(first).exists(), _aside(second).exists()) == (False, False, True)
    # A plan that is made now names only what is there.
    assert purge.purge(home, home.run("P2"), [second], terms()) == [str(other)]
    assert home.retired() == []
    assert (home.run("P1").phase, home.run("P1").state["ended_by"], home.run("P1").state["purging"]) == ("done", "P2", [])


def _without_locks(home: Home) -> list[tuple[str, int]]:
    return [entry for entry in manifest(home.base.parent) if ".lock" not in entry[0]]


def _by_hand(item: dict[str, Any]) -> None:
    shutil.rmtree(_aside(item))
    (_aside(item) / "volumes/one").mkdir(parents=True)
    (_aside(item) / "mine").write_text("kept")


def _newer(item: dict[str, Any]) -> None:
    (_aside(item) / "volumes/newer").write_text("kept")


def _link(item: dict[str, Any]) -> None:
    _aside(item).rename(_aside(item).with_name("elsewhere"))
    _aside(item).symlink_to(_aside(item).with_name("elsewhere"))


def _both(item: dict[str, Any]) -> None:
    Path(item["path"]).mkdir()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # The number of an inode is given out again at once, its generation is not; not every filesystem has one.
        (_by_hand, "no journal on this host says that it is what R1 retired: look at it|something was written in"),
        (_newer, "something was written in .* after its removal had begun"),
        (_link, "no journal on this host says|is a symbolic link"),
        (_both, "is in the way, with .* there as well: look at both"),
    ],
)
def test_what_is_not_surely_what_was_begun_is_refused_and_left(home: Home, half: dict[str, Any], change: Any, reason: str) -> None:
    change(half)
    before = _without_locks(home)
    with pytest.raises(RefusedFault, match=reason) as fault:
        purge.purge(home, home.run("P2"), [half], terms())
    assert str(fault.value).endswith("Nothing was changed.")
    assert _without_locks(home) == before


@pytest.mark.parametrize("key", ["inode", "generation", "recorded", "run"])
def test_a_journal_that_tells_of_another_tree_proves_nothing(home: Home, half: dict[str, Any], key: str) -> None:
    [claim] = home.run("P1").state["purging"]
    home.run("P1").write(purging=[{**claim, key: "other"}])
    with pytest.raises(RefusedFault, match="no journal on this host says"):
        purge.purge(home, home.run("P2"), [half], terms())
    assert _aside(half).exists()


def test_a_journal_that_is_closed_proves_nothing(home: Home, half: dict[str, Any]) -> None:
    home.run("P1").write(phase="done")
    with pytest.raises(RefusedFault, match="no journal on this host says"):
        purge.purge(home, home.run("P2"), [half], terms())


def test_what_is_left_and_in_use_is_refused(home: Home, half: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_users, "look", lambda tree: Users([f"tail (pid 7) has {tree}/x open"], is_stood_on=False))
    with pytest.raises(RefusedFault, match=r"purging-old is in use: tail \(pid 7\)"):
        purge.purge(home, home.run("P2"), [half], terms())


def test_a_removal_whose_record_is_gone_is_ended_by_its_journal(home: Home, half: dict[str, Any]) -> None:
    home.write_retired([])
    assert purge.purge(home, home.run("P2"), [half], terms()) == [half["path"]]
    assert _closed(home)


# Each call that changes something on the disk, by its number; journals and records are written by renames.
CALLS = {"os.rename": 7, "os.unlink": 3, "os.rmdir": 4, "sync_directory": 4, "tree_flags.take_off": 2}


@pytest.mark.parametrize("place", [f"{name} {number}" for name, most in CALLS.items() for number in range(1, most + 1)])
def test_killed_anywhere_a_second_run_ends_it_and_a_third_changes_nothing(
    home: Home, old: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("x")
    retired.retire(home, "R1", [{"from": str(old), "to": "/new"}, {"from": str(other), "to": "/newer"}], now=NOW)
    items = [{key: record[key] for key in ("path", "run", "recorded")} for record in home.retired()]
    name, _, number = place.partition(" ")
    with monkeypatch.context() as patched:
        _kill_at(patched, name, int(number))
        with pytest.raises(_Killed):
            purge.purge(home, home.run("P1"), items, terms())
    purge.purge(home, home.run("P2"), items, terms())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["controlplane"]
    assert _closed(home)
    assert purge.purge(home, home.run("P3"), items, terms()) == []


def _kill_at(patched: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Kill before the call of that number; os is one module for all, so journals are cut as well."""
    owner: Any = os if name.startswith("os.") else purge if name == "sync_directory" else purge.tree_flags
    last = name.rpartition(".")[2]
    real, calls = getattr(owner, last), itertools.count(1)

    def counted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise _Killed
        return real(*arguments, **options)

    patched.setattr(owner, last, counted)


# The verb, as the role calls it.


def _verb(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: str, item: dict[str, Any], retention_s: int
) -> Any:
    class Docker:
        def info(self) -> dict[str, str]:
            return {"DockerRootDir": "/mnt/data/docker"}

        def containers(self) -> list[dict[str, Any]]:
            return []

    monkeypatch.setattr(purge_verbs, "Engine", Docker)
    monkeypatch.setattr(purge_verbs.root_refusals, "roots_now", lambda info: {"docker": info["DockerRootDir"]})
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"items": [item], "retention_s": retention_s})))
    carried = claimed(monkeypatch) if action == "purge" else []
    code = verbs.main(["--base", str(home.base), "purge", action, "--run", "P1", *carried])
    return code, json.loads(capsys.readouterr().out)


def test_the_verb_removes_and_proves(home: Home, old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    item = retire(home, old)
    assert _verb(home, monkeypatch, capsys, "prove", item, 0) == (0, {"left": [str(old)]})
    assert _verb(home, monkeypatch, capsys, "refuse", item, WEEK) == (0, {"present": [str(old)]})
    assert _verb(home, monkeypatch, capsys, "purge", item, WEEK) == (0, {"changed": True, "removed": [str(old)]})
    assert _verb(home, monkeypatch, capsys, "prove", item, 0) == (0, {"left": []})
    assert (home.run("P1").phase, home.run("P1").state["removed"]) == ("done", [str(old)])
    assert _verb(home, monkeypatch, capsys, "purge", item, WEEK) == (0, {"changed": False, "removed": []})


def test_the_verb_holds_the_retention_and_leaves_no_open_journal(
    home: Home, old: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    item = retire(home, old)
    for action in ("refuse", "purge"):
        code, said = _verb(home, monkeypatch, capsys, action, item, 100 * 365 * 86400)
        assert code == 4
        assert "is kept until" in said["message"]
    assert old.exists()
    assert not (home.base / "P1").exists()


def test_the_proof_sees_what_a_removal_left_under_its_other_name(
    home: Home, half: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _verb(home, monkeypatch, capsys, "prove", half, 0) == (0, {"left": [half["path"]]})


def test_two_removals_do_not_work_at_once(home: Home, old: Path) -> None:
    item = retire(home, old)
    with home.lock("purge"), pytest.raises(RefusedFault, match=r"the same work runs already\. Nothing was changed"):
        purge.purge(home, home.run("P2"), [item], terms())
    assert old.exists()


# What Docker says of it.


class _Docker:
    """An engine with a volume at `place` and the mounts of one container."""

    def __init__(self, place: str, *mounts: dict[str, Any]) -> None:
        self.place, self.mounts, self.gone = place, list(mounts), list[str]()

    def call(self, method: str, target: str, **_: Any) -> tuple[int, Any]:
        if method == "DELETE":
            self.gone.append(target)
            return 204, None
        return 200, {"Mountpoint": self.place}

    def containers(self) -> list[dict[str, Any]]:
        return [{"Name": "/shop", "Mounts": self.mounts}]


def _asked(docker: _Docker, *roots: str) -> purge.Terms:
    return purge.Terms(list(roots), 0, terms().now, docker)  # type: ignore[arg-type]


def test_a_volume_within_the_live_root_is_removed_by_its_name_and_only_while_no_container_has_it(home: Home, old: Path) -> None:
    retired.retire(home, "R1", [{"from": str(old), "to": "/mnt/data/new", "volume": "pg"}], now=0)
    [record] = home.retired()
    item = {key: record[key] for key in ("path", "run", "recorded")}
    root = str(old.parent)
    assert "volume pg belongs to container shop" in purge.reasons(home, [item], _asked(_Docker(str(old), {"Name": "pg"}), root))[0]
    # Another volume has its name by now: what lies here is a tree like any other.
    assert f"lies in the live root {root}" in purge.reasons(home, [item], _asked(_Docker("/elsewhere"), root))[0]
    assert "Docker was not asked" in purge.reasons(home, [item], terms(root))[0]
    docker = _Docker(str(old))
    assert purge.purge(home, home.run("P1"), [item], _asked(docker, root)) == [str(old)]
    assert (old.exists(), docker.gone, home.retired()) == (False, ["/volumes/pg"], [])


def test_what_lies_in_a_folder_that_a_container_mounts_is_kept(home: Home, old: Path) -> None:
    item = retire(home, old)
    above = {"Type": "bind", "RW": True, "Source": str(old.parent), "Destination": "/data"}
    assert (
        f"container shop mounts {old.parent}, in which {old} lies, with nothing over it at /data/old"
        in purge.reasons(home, [item], _asked(_Docker("", above)))[0]
    )
    assert purge.reasons(home, [item], _asked(_Docker("", {**above, "RW": False}))) == []
