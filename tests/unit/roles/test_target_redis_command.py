"""A Redis' settings in its compose file: what is looked at before they are written or put back, and how they are written while it stands still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose, redis_aof, redis_command, redis_persist
from controlplane_target.compose import Stack
from controlplane_target.faults import FailedFault
from controlplane_target.state import Run

from tests.unit.roles.test_target_compose_note import NEW, OWN, PERSISTED, Server, prepare, reads, run, spoil, stack

__all__ = ["prepare", "reads", "run", "stack"]

REQUEST = redis_aof.parse(PERSISTED)
Prepare = Callable[[Run], Any]


def file_of(stack: Stack) -> Path:
    return Path(stack.files[0])


def test_the_stack_is_looked_at_before_the_runs_own_change_is_written_as_well(stack: Stack, run: Run, prepare: Prepare) -> None:
    prepare(run)
    run.write(container="cache")
    redis_persist.assert_as_written(run)
    assert file_of(stack).read_text() == OWN
    spoil(stack, "a variable")
    said = r"\.env changed while this ran, and to make cache anew .*Bring it up to its files yourself \('redis-cli save' first: it would load"
    with pytest.raises(FailedFault, match=said):
        redis_persist.assert_as_written(run)
    assert file_of(stack).read_text() == OWN


def test_a_way_back_that_goes_on_brings_nothing_into_effect_that_changed_since_it_was_cut_off(stack: Stack, run: Run, prepare: Prepare) -> None:
    redis_persist.write(run, prepare(run), REQUEST)
    made: Any = Server(stack, "redis-server", "--appendonly", "yes")
    assert redis_persist.put_back(run, made, REQUEST) is True
    # Cut off before its container was made anew.
    assert redis_persist.put_back(run, made, REQUEST) is False
    spoil(stack, "an env_file")
    with pytest.raises(FailedFault, match=r"compose\.yml means something else to Compose"):
        redis_persist.put_back(run, made, REQUEST)


# While it stands still.


@pytest.mark.parametrize("held", [None, {"Config": {"Cmd": ["redis-server"]}, "Name": "/cache", "Image": "sha256:1"}])
def test_it_is_written_as_it_would_have_been_and_once_is_enough(stack: Stack, run: Run, prepare: Prepare, held: dict[str, Any] | None) -> None:
    redis_persist.write(run, prepare(run), REQUEST)
    written = file_of(stack).read_text()
    file_of(stack).write_text(OWN)
    for _ in range(2):
        redis_command.write_down(run, REQUEST, held)
        assert file_of(stack).read_text() == written


def test_what_somebody_changed_meanwhile_is_left_and_named_with_what_to_do(stack: Stack, run: Run, prepare: Prepare) -> None:
    prepare(run)
    theirs = OWN.replace("redis-server]", "redis-server, --maxmemory, 1gb]")
    file_of(stack).write_text(theirs)
    said = (
        r"^cache stands still, its newest data are in its append-only file, and .*compose\.yml was changed by somebody while this ran: .*"
        r"Put --appendonly yes at the end of its command there, and bring it up \(docker compose .*\); then make a new plan$"
    )
    with pytest.raises(FailedFault, match=said):
        redis_command.write_down(run, REQUEST, None)
    assert file_of(stack).read_text() == theirs


def test_where_their_change_has_the_settings_too_nothing_is_in_the_way(stack: Stack, run: Run, prepare: Prepare) -> None:
    prepare(run)
    theirs = NEW.replace("/srv/old", "/srv/new")
    file_of(stack).write_text(theirs)
    redis_command.write_down(run, REQUEST, None)
    assert file_of(stack).read_text() == theirs
    assert compose.reading(stack)["services"]["cache"]["command"] == ["redis-server", "--appendonly", "yes"]


def test_a_run_that_changed_no_file_writes_none(stack: Stack, run: Run) -> None:
    redis_command.write_down(run, REQUEST, None)
    assert file_of(stack).read_text() == OWN
