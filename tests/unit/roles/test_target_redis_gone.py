"""A container that is gone while a run keeps it down is let go only where nobody brings it up any more, and never without a word."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from controlplane_target import redis_anew, redis_aof, redis_command, redis_down, redis_guard, redis_persist
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.state import Run

from tests.unit.roles.redis_docker import THIRD
from tests.unit.roles.test_target_redis_guard import FILED, CutError, Host, changed, host, settled
from tests.unit.roles.test_target_redis_kept import PERSISTED, cache, journal, run

__all__ = ["cache", "host", "run"]

REQUEST = redis_aof.parse(PERSISTED)


@pytest.fixture
def services(host: Host, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the services that Compose finds in the files of that host."""
    found = ["other", "cache"]
    monkeypatch.setattr(redis_command.command, "run", lambda *_, **__: SimpleNamespace(code=0, out="\n".join(found), err=""))
    assert host.cache.docker.held
    return found


def half(host: Host, run: Run) -> None:
    """Turn it on, and be killed before the file is whole."""

    def killed(_name: str) -> None:
        raise CutError

    host.cache.at_set = killed
    with pytest.raises(CutError):
        redis_aof.turn_on(run, REQUEST)


def removed(host: Host) -> dict[str, Any]:
    """Remove the container; return what it was."""
    was, host.cache.docker.held = host.cache.docker.held, None
    assert was is not None
    return was


def test_as_long_as_its_service_is_in_the_files_it_is_kept_and_told_of(host: Host, run: Run, services: list[str]) -> None:
    redis_aof.turn_on(run, REQUEST)
    was = removed(host)
    where = f"{host.cache.data}/appendonlydir"
    for _ in range(2):
        with pytest.raises(FailedFault, match=rf"^Docker has no cache: .*, with --appendonly yes .* are in {where}; .*the compose files$"):
            settled(run)
    [doubt] = journal(run).state["doubts"]
    assert doubt.startswith(f"Docker had no cache while run R1 kept it down: its newest data were in {where}, and")
    assert (journal(run).state["dump_kept"], bool(journal(run).state["guard"]), host.cache.docker.units) == (True, True, {"R1"})
    # The disk on which Docker keeps it was away: it comes back with no policy.
    host.cache.docker.held = was
    host.kills()
    settled(run)
    assert (changed(host), host.cache.docker.policy, services) == (["written", "compose"], "unless-stopped", ["other", "cache"])


def test_one_that_is_made_anew_by_hand_ends_that(host: Host, run: Run, services: list[str]) -> None:
    redis_aof.turn_on(run, REQUEST)
    was = removed(host)
    with pytest.raises(FailedFault, match="Docker has no cache"):
        settled(run)
    host.cache.docker.held = {**was, "Id": "two"}
    host.cache.docker.starts(THIRD)
    settled(run)
    assert (journal(run).state["guard"], host.cache.docker.units, len(services)) == (None, set(), 2)


def test_before_the_file_is_whole_it_is_waited_for_as_well_with_nothing_to_be_told(host: Host, run: Run, services: list[str]) -> None:
    half(host, run)
    removed(host)
    with pytest.raises(FailedFault, match=r"not there\. Bring that disk back, or make the container anew; the host"):
        settled(run)
    assert (journal(run).state.get("doubts"), bool(journal(run).state["guard"])) == (None, True)
    services.remove("cache")
    settled(run)
    assert (journal(run).state.get("doubts"), journal(run).state["guard"], host.cache.docker.units) == (None, None, set())


def test_one_whose_service_was_taken_away_is_let_go_and_where_its_file_lies_is_told(host: Host, run: Run, services: list[str]) -> None:
    redis_aof.turn_on(run, REQUEST)
    removed(host)
    services.remove("cache")
    said = settled(run)
    assert f"cache was taken away while run R1 kept it down: its newest data are in {host.cache.data}/appendonlydir" in said["message"]
    assert (journal(run).state["guard"], journal(run).state["dump_kept"], host.cache.docker.units) == (None, True, set())


def test_a_verb_that_finds_it_gone_does_not_let_it_go(host: Host, run: Run, services: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    monkeypatch.setattr(redis_down, "_SEEN_S", 0.0)
    removed(host)
    with pytest.raises(RefusedFault, match="cache does not run"):
        redis_aof.persist(run, REQUEST)
    assert (bool(journal(run).state["guard"]), host.cache.docker.units, len(services)) == (True, {"R1"}, 2)


def test_its_unit_sees_that_it_is_gone(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    removed(host)
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    assert redis_down.await_end(run, REQUEST)


# The way back of one that is gone.


@pytest.mark.parametrize("phase", ["on", "making-anew", "undoing-anew"])
@pytest.mark.parametrize("by", ["the host", "nobody"])
def test_the_way_back_of_one_whose_service_was_taken_away_closes_the_run(
    host: Host, run: Run, services: list[str], monkeypatch: pytest.MonkeyPatch, phase: str, by: str
) -> None:
    def changed_by_somebody(_of: Run) -> None:
        raise RefusedFault("compose.yml was changed by somebody since")

    redis_aof.turn_on(run, REQUEST)
    run.write(phase=phase)
    removed(host)
    services.remove("cache")
    if by == "the host":
        settled(run)
    # Somebody took it out of the very file.
    monkeypatch.setattr(redis_persist, "refuse_back", changed_by_somebody)
    told = redis_aof.undo(journal(run), run.home.run("R3"), REQUEST)["told"]
    assert told["complaint"].startswith("cache was taken away while run R1 kept it down")
    assert (journal(run).phase, journal(run).state["guard"], host.cache.docker.units) == ("undone", None, set())
    assert len(journal(run).state["doubts"]) == 1


def test_one_whose_service_is_there_still_has_a_way_back_to_go(host: Host, run: Run, services: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    removed(host)
    monkeypatch.setattr(redis_persist, "refuse_back", lambda _of: None)
    with pytest.raises(RefusedFault, match="going back needs it"):
        redis_aof.undo(journal(run), run.home.run("R3"), REQUEST)
    assert (journal(run).phase, bool(journal(run).state["guard"]), len(services)) == ("on", True, 2)


def test_one_of_no_compose_file_is_let_go_by_its_way_back(host: Host, run: Run) -> None:
    run.write(asked=FILED, stack=None)
    redis_aof.turn_on(run, redis_aof.parse(FILED))
    removed(host)
    with pytest.raises(FailedFault, match=r"Where it is gone for good, controlplane rollback R1$"):
        settled(run)
    redis_aof.undo(journal(run), run.home.run("R3"), redis_aof.parse(FILED))
    assert (journal(run).phase, redis_guard.keeping(run.home, lambda _run: True), host.cache.docker.units) == ("undone", [], set())


def test_a_file_that_another_way_back_turned_off_is_in_no_new_container(host: Host, run: Run, services: list[str]) -> None:
    """Made anew with it on, and without one, it would start empty."""
    redis_aof.turn_on(run, REQUEST)
    run.write(phase="making-anew", guard=None, started_at=None)
    removed(host)
    for verb in (lambda: settled(run), lambda: redis_anew.finish(journal(run), journal(run), REQUEST, None)):
        with pytest.raises(FailedFault, match=r"was turned off by another run's way back, .* Bring it up from its files as they are"):
            verb()
    assert (changed(host), len(services)) == ([], 2)
