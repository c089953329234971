"""A part of a volume or of a directory is purged alone, whatever stands on it, and whoever would see it is told by name."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import begun, purge, purge_users, retired
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.purge_users import Users
from controlplane_target.state import Home

from tests.unit.roles.purged_host import NOW, WEEK, Docker, Host, bind, container, names, volume


@pytest.fixture
def _nobody_uses_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_users, "look", lambda _tree: Users([], is_stood_on=False))


alone = pytest.mark.usefixtures("_nobody_uses_anything")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@alone
def test_a_part_of_a_volume_that_a_container_covers_is_emptied_and_the_rest_stays_to_the_byte(host: Host) -> None:
    host.retire()
    items, before, top = host.items(), host.rest(), host.deep.stat().st_ino
    docker = Docker({"shop": str(host.whole)}, host.covered())
    # A volume lies within Docker's live root.
    terms = host.terms(docker, host.whole.parents[1])

    assert purge.purge(host.home, host.home.run("P1"), items, terms) == [str(host.deep)]

    assert (host.rest(), names(host.deep), host.deep.stat().st_ino) == (before, [], top)
    assert (docker.gone, host.is_closed, (host.place / "new").read_text()) == ([], True, "new")
    # A mount stands on the folder; it is nobody's data, and no later run takes it for any.
    assert begun.present(host.home, items) == []
    assert purge.purge(host.home, host.home.run("P2"), items, terms) == []
    assert names(host.deep) == []


@alone
def test_a_part_that_nobody_mounts_any_more_goes_with_its_folder_and_its_volume_stays(host: Host) -> None:
    host.retire()
    docker = Docker({"shop": str(host.whole)})
    assert purge.purge(host.home, host.home.run("P1"), host.items(), host.terms(docker)) == [str(host.deep)]
    assert (names(host.whole), docker.gone, host.is_closed) == (["beside"], [], True)


def _other_volume(host: Host) -> dict[str, Any]:
    return container("other", volume("shop", host.whole, "/x"))


@alone
@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (_other_volume, "container other mounts volume shop, in which {deep} lies, with nothing over it at /x/deep: give /x/deep a mount of its own"),
        (lambda host: container("other", volume("shop", host.whole, "/x", rw=False)), "container other mounts volume shop, in which {deep} lies"),
        (lambda host: container("other", volume("shop", host.whole, "/x"), bind("/tmp", "/x/beside")), "with nothing over it at /x/deep"),
        (lambda host: container("other", volume("shop", host.whole, "/x"), bind("/tmp", "/x/deep/sub")), "with nothing over it at /x/deep"),
        (lambda host: container("other", bind(host.whole, "/x", rw=False)), "container other mounts {whole}, in which {deep} lies"),
        (lambda host: container("other", bind(host.deep, "/x", rw=False)), "container other mounts {deep} at /x: take that out"),
        (lambda host: container("other", bind(host.deep / "sub", "/x")), "container other mounts {deep}/sub at /x: take that out"),
        # What has its place over it is not this container's mount of the folder alone.
        (
            lambda host: container(
                "other",
                volume("shop", host.whole, "/x"),
                bind("/tmp", "/x/deep"),
                Mounts=[{"Target": "/x", "VolumeOptions": {"Subpath": "deep"}}],
            ),
            "container other mounts {deep} at /x: take that out",
        ),
    ],
)
def test_whoever_mounts_the_same_volume_without_a_cover_is_named_and_nothing_changes(
    host: Host, other: Callable[[Host], dict[str, Any]], reason: str
) -> None:
    host.retire()
    items, before, part = host.items(), host.rest(), sorted(host.deep.rglob("*"))
    docker = Docker({"shop": str(host.whole)}, host.covered(), other(host))
    with pytest.raises(RefusedFault) as fault:
        purge.purge(host.home, host.home.run("P1"), items, host.terms(docker))
    assert reason.format(deep=host.deep, whole=host.whole) in str(fault.value)
    assert "container within" not in str(fault.value)
    assert str(fault.value).endswith("Nothing was changed.")
    assert (host.rest(), sorted(host.deep.rglob("*"))) == (before, part)


@alone
@pytest.mark.parametrize(
    "other",
    [
        lambda host: container("other", volume("shop", host.whole, "/x"), bind("/tmp", "/x/deep", rw=False)),
        lambda host: container("other", volume("shop", host.whole, "/x"), Tmpfs={"/x/deep/": ""}),
        lambda _: container("other", volume("more", "/elsewhere", "/x")),
        # Somebody's view of all volumes, such as a backup's.
        lambda host: container("other", bind(host.whole.parents[1], "/volumes", rw=False)),
    ],
)
def test_whoever_can_not_see_the_part_or_only_reads_the_host_is_not_in_the_way(host: Host, other: Callable[[Host], dict[str, Any]]) -> None:
    host.retire()
    docker = Docker({"shop": str(host.whole), "more": "/elsewhere"}, host.covered(), other(host))
    assert host.reasons(docker) == []


@alone
def test_what_an_options_device_holds_is_looked_at_by_its_volume(host: Host) -> None:
    host.retire()
    mounted = "/var/lib/docker/volumes/shop/_data"
    docker = Docker({"shop": {"Mountpoint": mounted, "Options": {"o": "bind", "device": f"{host.whole}/"}}})
    docker.held = [container("within", volume("shop", mounted, "/srv"), bind(host.place, "/srv/deep"))]
    assert host.reasons(docker) == []
    docker.held.append(container("other", volume("shop", mounted, "/x")))
    assert "container other mounts volume shop" in host.reasons(docker)[0]


@alone
def test_a_part_of_a_bind_is_emptied_and_the_directory_stays(host: Host) -> None:
    host.retire(kind="bind")
    before, docker = host.rest(), Docker({}, container("app", bind(host.whole, "/app"), bind(host.place, "/app/deep")))
    assert purge.purge(host.home, host.home.run("P1"), host.items(), host.terms(docker)) == [str(host.deep)]
    assert (host.rest(), names(host.deep)) == (before, [])


@alone
def test_of_a_bind_those_who_write_above_are_in_the_way_and_those_who_read_what_it_lay_in(host: Host) -> None:
    host.retire(kind="bind")
    app, above = container("app", bind(host.whole, "/app"), bind(host.place, "/app/deep")), host.whole.parent
    assert host.reasons(Docker({}, app, container("backup", bind(above, "/host", rw=False)))) == []
    for other in (bind(above, "/host"), bind(host.whole, "/www", rw=False)):
        [reason] = host.reasons(Docker({}, app, container("other", other)))
        assert reason.startswith(f"container other mounts {other['Source']}, in which {host.deep} lies, with nothing over it at ")


@alone
@pytest.mark.parametrize("is_link", [True, False])
def test_what_a_container_puts_in_its_place_is_left(host: Host, is_link: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part, docker = host.whole / "beside/part", Docker({"shop": str(host.whole)})
    part.mkdir()
    docker.held = [container("within", volume("shop", host.whole, "/srv"), bind(host.place, "/srv/beside/part"))]
    host.retire(part)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "part").mkdir(parents=True)
    (elsewhere / "part/kept").write_text("kept")
    note = begun.note

    def swapped(*told: Any) -> None:
        note(*told)
        (host.whole / "beside").rename(host.whole / "away")
        if is_link:
            (host.whole / "beside").symlink_to(elsewhere)
        else:
            elsewhere.rename(host.whole / "beside")

    monkeypatch.setattr(begun, "note", swapped)
    why = "Too many levels of symbolic links" if is_link else f"{part} is another folder by now than what was retired"
    with pytest.raises(FailedFault, match=f"the removal of {part} stopped: .*{why}"):
        purge.purge(host.home, host.home.run("P1"), host.items(), host.terms(docker))
    assert (part / "kept").read_text() == "kept"
    assert host.items() != []


# What lies within something else that was retired.


@alone
def test_what_lies_in_another_retired_tree_goes_with_that_one_and_never_alone(host: Host) -> None:
    root = host.whole.parents[1]
    host.retire(at=NOW - WEEK)
    host.retire(root, kind="root", run="R2")
    # Docker's root has moved since, and the volume with it: what it has there by now is no matter of this.
    docker = Docker({"shop": "/mnt/data/docker/volumes/shop/_data"})
    inner, terms = host.items(host.deep), host.terms(docker, Path("/mnt/data/docker"))
    assert purge.reasons(host.home, inner, terms) == [
        f"{host.deep} lies in {root}, which R2 retired as well, and goes with that one alone: make a new plan"
    ]
    assert set(purge.purge(host.home, host.home.run("P1"), host.items(), terms)) == {str(root), str(host.deep)}
    assert (root.exists(), docker.gone, host.is_closed) == (False, [], True)


@alone
def test_what_is_too_young_keeps_what_it_lies_in(host: Host) -> None:
    host.retire(at=NOW + 5)
    host.retire(host.whole, kind="bind", base=host.whole, run="R2")
    [reason] = purge.reasons(host.home, host.items(host.whole), host.terms(Docker()))
    assert reason.startswith(f"{host.whole} holds what R1 retired: {host.deep} was retired at ")


# Stopped half-way.


class _Killed(BaseException):
    """What no handler catches, as a SIGKILL."""


CALLS = {"os.rename": 4, "os.unlink": 3, "os.rmdir": 1, "os.fsync": 9}


@alone
@pytest.mark.parametrize("place", [f"{name} {number}" for name, most in CALLS.items() for number in range(1, most + 1)])
def test_killed_anywhere_a_later_run_ends_it_and_the_next_changes_nothing(host: Host, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host.retire()
    items, before, docker = host.items(), host.rest(), Docker({"shop": str(host.whole)}, host.covered())
    name, _, number = place.partition(" ")
    last, calls = name.rpartition(".")[2], itertools.count(1)
    real = getattr(os, last)

    def counted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == int(number):
            raise _Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, last, counted)
        with pytest.raises(_Killed):
            purge.purge(host.home, host.home.run("P1"), items, host.terms(docker))
    # Its age was held before it was begun; the same run ends it, or one that finds it begun.
    purge.purge(host.home, host.home.run("P2"), items, host.terms(docker))
    assert (host.rest(), names(host.deep), host.is_closed, docker.gone) == (before, [], True, [])
    assert purge.purge(host.home, host.home.run("P3"), items, host.terms(docker)) == []


@alone
@pytest.mark.parametrize("by", ["P1", "P2"])
@pytest.mark.parametrize("is_covered", [True, False], ids=["in place", "put aside"])
def test_killed_between_the_record_and_the_journal_it_leaves_what_is_written_there_since(
    host: Host, by: str, is_covered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.retire()
    items, written = host.items(), Home.write_retired
    docker = Docker({"shop": str(host.whole)}, *([host.covered()] if is_covered else []))

    def killed(home: Home, records: list[dict[str, Any]]) -> None:
        written(home, records)
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(Home, "write_retired", killed)
        with pytest.raises(_Killed):
            purge.purge(host.home, host.home.run("P1"), items, host.terms(docker))
    assert (host.items(), begun.present(host.home, items), host.deep.exists()) == ([], [str(host.deep)], is_covered)
    # Nothing is mounted over it any more, so the container writes into the volume.
    docker.held = [container("within", volume("shop", host.whole, "/srv"))]
    host.deep.mkdir(exist_ok=True)
    (host.deep / "live").write_text("live")

    assert purge.purge(host.home, host.home.run(by), items, host.terms(docker)) == [str(host.deep)]
    assert ((host.deep / "live").read_text(), host.is_closed, docker.gone, begun.present(host.home, items)) == ("live", True, [], [])


@pytest.fixture
def half(host: Host, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What P1 was to empty, and failed to."""
    monkeypatch.setattr(purge_users, "look", lambda _tree: Users([], is_stood_on=False))
    host.retire()
    items, real = host.items(), os.unlink

    def failing(path: Any, **options: Any) -> None:
        if path == "older":
            raise OSError(5, "Input/output error", path)
        real(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", failing)
        with pytest.raises(FailedFault, match=f"What is left of it lies in {host.deep}. Mend the cause") as fault:
            purge.purge(host.home, host.home.run("P1"), items, host.terms(Docker({"shop": str(host.whole)}, host.covered())))
    assert "Input/output error" in str(fault.value)
    assert (host.deep / "sub/older").exists()
    return items


def test_what_was_half_emptied_is_ended_whatever_its_age_and_whoever_mounts_it_by_then(host: Host, half: list[dict[str, Any]]) -> None:
    docker = Docker({"shop": str(host.whole)})
    assert "container other mounts volume shop" in purge.reasons(host.home, half, host.terms(Docker(docker.volumes, _other_volume(host))))[0]
    assert purge.purge(host.home, host.home.run("P2"), half, host.terms(docker, age_s=0)) == [str(host.deep)]
    assert (names(host.deep), host.is_closed) == ([], True)
    assert (host.home.run("P1").phase, host.home.run("P1").state["ended_by"]) == ("done", "P2")


def _newer(host: Host) -> None:
    (host.deep / "newer").write_text("kept")


def _another(host: Host) -> None:
    host.deep.rename(host.whole / "away")
    host.deep.mkdir()
    (host.deep / "mine").write_text("kept")


def _live_again(host: Host) -> None:
    retired.forget(host.home, [str(host.deep)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_newer, "something was written in .*/deep after its removal had begun"),
        (_another, "changed since it was retired"),
        (_live_again, "is not recorded as retired on this host"),
    ],
)
def test_what_is_not_surely_what_was_half_emptied_is_left(
    host: Host, half: list[dict[str, Any]], change: Callable[[Host], None], reason: str
) -> None:
    change(host)
    before = sorted(host.whole.rglob("*"))
    with pytest.raises(RefusedFault, match=reason):
        purge.purge(host.home, host.home.run("P2"), half, host.terms(Docker({"shop": str(host.whole)}, host.covered())))
    assert sorted(host.whole.rglob("*")) == before
