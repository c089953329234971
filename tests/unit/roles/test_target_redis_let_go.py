"""A Redis that is kept down is let go of, and brought up, so that no later start of it loads what is stale, and nobody else starts it meanwhile."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from controlplane_target import (
    compose,
    path_refuse,
    redis_anew,
    redis_aof,
    redis_change,
    redis_command,
    redis_conf,
    redis_down,
    redis_file,
    redis_guard,
    redis_persist,
    redis_server,
    redis_verbs,
    settle_units,
    stack_look,
    text_change,
    undo_verb,
)
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.state import Home, Run

from tests.unit.roles.redis_docker import SECOND
from tests.unit.roles.test_target_redis_guard import CONF, FILED, MANIFEST, WANTED, CutError, Host, changed, conf, host, settled
from tests.unit.roles.test_target_redis_kept import PERSISTED, cache, journal, run

__all__ = ["cache", "conf", "host", "run"]

BEFORE = "services: {cache: {image: redis}}\n"
AFTER = "services: {cache: {image: redis, command: [redis-server, --appendonly, 'yes']}}\n"
TOLD = ["redis-server", "--appendonly", "yes"]
REQUEST = redis_aof.parse(PERSISTED)


@pytest.fixture
def file(run: Run, tmp_path: Path) -> Path:
    """Return the compose file, which has the run's settings by now."""
    path = tmp_path / "compose.yml"
    path.write_text(AFTER)
    run.write(path=str(path), asked=PERSISTED)
    (run.folder / redis_change.NAME).write_text(json.dumps(text_change.change_of(BEFORE, AFTER)))
    return path


def killed(*_: Any, **__: Any) -> None:
    raise CutError


def fails(*_: Any, **__: Any) -> None:
    raise FailedFault("Compose did not bring cache up")


def held(host: Host) -> dict[str, Any]:
    assert host.cache.docker.held is not None
    return host.cache.docker.held


# Its compose file.


def test_a_file_with_the_settings_is_put_back_before_the_container_of_the_one_before_it_is_let_go(
    host: Host, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later `compose up` would load what is stale by then."""
    monkeypatch.setattr(compose, "make_anew", fails)
    redis_aof.turn_on(run, REQUEST)
    file.write_text(AFTER)
    with pytest.raises(FailedFault, match="did not bring cache up"):
        redis_aof.persist(run, REQUEST)
    assert (file.read_text(), host.cache.docker.policy, journal(run).state["guard"]) == (BEFORE, "unless-stopped", None)


def test_where_it_can_not_be_put_back_the_container_is_kept_down_still(host: Host, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    file.write_text(AFTER)

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(redis_command, "write_like", full)
    redis_guard.release(run, REQUEST)
    assert (file.read_text(), host.cache.docker.policy, host.cache.docker.units) == (AFTER, "no", {"R1"})


@pytest.mark.parametrize("told", [False, True])
def test_the_host_puts_it_back_where_somebody_started_the_container_that_was_not_made_from_it(host: Host, run: Run, file: Path, told: bool) -> None:
    redis_aof.turn_on(run, REQUEST)
    file.write_text(AFTER)
    host.kills()
    host.cache.docker.starts(SECOND)
    held(host)["Config"]["Cmd"] = TOLD if told else []
    settled(run)
    assert (file.read_text(), host.cache.docker.policy) == (AFTER if told else BEFORE, "unless-stopped")


def test_it_is_put_back_before_the_file_of_another_life_is_begun(host: Host, run: Run, file: Path) -> None:
    seen: list[str] = []
    host.cache.at_set = lambda _name: seen.append(file.read_text())
    redis_aof.turn_on(run, REQUEST)
    assert seen == [BEFORE]


@pytest.mark.parametrize(("command", "is_out"), [(["redis-server"], True), (TOLD, False), (None, False)])
def test_what_somebody_else_wrote_there_is_left_and_whether_the_settings_are_among_it_is_told(
    host: Host, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, command: list[str] | None, is_out: bool
) -> None:
    def read(_stack: Any) -> dict[str, Any]:
        if command is None:
            raise RefusedFault("Compose can't read it")
        return {"services": {"cache": {"command": command}}}

    monkeypatch.setattr(compose, "reading", read)
    file.write_text("services: {}\n")
    assert redis_command.take_back(run, REQUEST, held(host)) is is_out
    assert file.read_text() == "services: {}\n"


def test_with_the_settings_under_somebodys_edit_it_is_kept_down_still_or_that_is_told(
    host: Host, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compose, "reading", lambda _stack: {"services": {"cache": {"command": TOLD}}})
    redis_aof.turn_on(run, REQUEST)
    file.write_text(f"# mine\n{AFTER}")
    redis_guard.release(run, REQUEST)
    assert (host.cache.docker.policy, bool(journal(run).state["guard"]), host.cache.docker.units) == ("no", True, {"R1"})
    # Another life of it is let go all the same.
    host.kills()
    host.cache.docker.starts(SECOND)
    assert "compose.yml has the settings still, or may have" in settled(run)["message"]
    assert (host.cache.docker.policy, journal(run).state["guard"]) == ("unless-stopped", None)
    assert "compose.yml has the settings still" in journal(run).state["doubts"][0]


def test_the_file_is_put_back_before_the_append_only_file_of_another_life_is_forgotten(
    host: Host, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_aof.turn_on(run, REQUEST)
    host.cache.runs["appendonly"] = "no"
    file.write_text(AFTER)
    monkeypatch.setattr(redis_guard, "forget_file", killed)
    with pytest.raises(CutError):
        redis_aof.turn_on(run, REQUEST)
    assert file.read_text() == BEFORE


# Brought up.


def test_one_whose_own_command_has_the_settings_is_only_started_whatever_its_file_says(
    host: Host, run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way back was cut off while the dump was written."""
    redis_aof.turn_on(run, REQUEST)
    redis_aof.persist(run, REQUEST)
    held(host)["Config"]["Cmd"] = TOLD
    host.did.clear()
    file.write_text("services: {other: {}}\n")
    monkeypatch.setattr(redis_persist, "refuse_back", lambda *_: None)
    monkeypatch.setattr(redis_persist, "put_back", lambda *_: True)
    monkeypatch.setattr(redis_aof.Server, "await_saved", killed)
    with pytest.raises(CutError):
        redis_aof.undo(run, run, REQUEST)
    assert (journal(run).phase, host.cache.docker.policy) == ("undoing", "no")
    host.kills()
    assert settled(run)["phase"] == "undoing"
    assert (changed(host), host.cache.docker.policy, host.cache.docker.units) == (["start cache"], "unless-stopped", set())


@pytest.mark.parametrize("phase", ["making-anew", "undoing-anew"])
def test_without_the_disk_of_its_data_it_is_not_made_anew_either(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    redis_aof.turn_on(run, REQUEST)
    monkeypatch.setattr(compose, "make_anew", killed)
    with pytest.raises(CutError):
        redis_aof.persist(run, REQUEST)
    run.write(phase=phase)
    host.kills()
    (host.cache.data / MANIFEST).unlink()
    for verb in (lambda: settled(run), lambda: redis_anew.finish(journal(run), journal(run), REQUEST, host.cache.docker.state)):
        with pytest.raises(FailedFault, match="Bring its disk back"):
            verb()
    assert (changed(host)[1:], host.cache.docker.policy) == ([], "no")


def test_the_unit_waits_for_the_mount_of_its_data_in_each_phase(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, list[str], bool]] = []
    monkeypatch.setattr(settle_units, "install_after", lambda _run, _argv, mounts, *, waits: seen.append((journal(run).phase, mounts, waits)))
    monkeypatch.setattr(redis_guard.mounts, "mount_of", lambda *_: SimpleNamespace(mount="/mnt/data"))
    redis_aof.turn_on(run, REQUEST)
    redis_aof.persist(run, REQUEST)
    assert seen == [("turning-on", ["/mnt/data"], True), ("making-anew", ["/mnt/data"], True)]
    assert host.cache.docker.policy == "unless-stopped"


def test_one_that_somebody_starts_before_compose_does_is_not_stopped(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    host.kills()
    monkeypatch.setattr(redis_command, "write_down", lambda *_: host.cache.docker.starts(SECOND))
    with pytest.raises(redis_anew.StartedAgainFault, match="was started by somebody while it was about to be brought up"):
        settled(run)
    assert (changed(host), journal(run).phase) == ([], "on")


def test_it_was_away_since_its_end(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    host.kills()
    held(host)["State"]["FinishedAt"] = "2026-01-01T00:59:00.5Z"
    at = {"boot_id": "b", "boot_s": 500.0, "up_s": 500.0, "at": redis_down.epoch_of("2026-01-01T01:00:00Z")}
    monkeypatch.setattr(redis_down.path_downtime, "now", lambda: dict(at))
    settled(run)
    assert journal(run).state["downtime_s"] == {"cache": 59.5}


# Its policy.


def test_one_that_ends_while_its_policy_is_put_back_is_kept_down(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    tell = redis_guard.set_restart

    def late(container: str, policy: dict[str, Any]) -> None:
        if policy["Name"] != "no":
            host.cache.docker.ends()
        tell(container, policy)

    monkeypatch.setattr(redis_guard, "set_restart", late)
    with pytest.raises(FailedFault, match="cache ended while its restart policy was put back, and is kept down"):
        redis_guard.off(run)
    assert (host.cache.docker.policy, bool(journal(run).state["guard"]), host.cache.docker.units) == ("no", True, {"R1"})
    monkeypatch.setattr(redis_guard, "set_restart", tell)
    assert settled(run)["phase"] == "done"


def test_who_is_killed_once_the_policy_is_back_leaves_no_note_that_it_is_off(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    monkeypatch.setattr(redis_guard, "inspected", killed)
    with pytest.raises(CutError):
        redis_guard.off(run)
    assert host.cache.docker.policy == "unless-stopped"
    redis_guard.on(journal(run), REQUEST, REQUEST.server(), whole=True)
    assert (host.cache.docker.policy, journal(run).state["guard"]["restart"]["Name"]) == ("no", "unless-stopped")


def test_one_that_is_only_started_has_its_policy_before(host: Host, run: Run) -> None:
    host.cache.at_set = killed
    with pytest.raises(CutError):
        redis_aof.turn_on(run, REQUEST)
    host.kills()
    host.did.clear()
    settled(run)
    assert host.did[:2] == ["restart one unless-stopped", "start cache"]


# Docker away.


@pytest.mark.parametrize("since", ["its start", "it watches"])
def test_its_unit_waits_for_a_docker_that_is_away_and_asks_nothing_of_it(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch, since: str) -> None:
    redis_aof.turn_on(run, REQUEST)
    run.write(asked=PERSISTED)
    slept: list[float] = []

    def asked(*_: Any) -> dict[str, Any]:
        assert host.cache.docker.daemon == "active"
        return host.cache.docker.state

    def stop() -> None:
        host.kills()
        host.cache.docker.daemon = "deactivating"

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1 and since == "it watches":
            stop()
        if len(slept) == 500:
            host.cache.docker.daemon = "active"

    if since == "its start":
        stop()
    monkeypatch.setattr(redis_down, "state_of", asked)
    monkeypatch.setattr(redis_down.time, "sleep", sleep)
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    options = argparse.Namespace(run="R1", of=None, action="settle", check=False)
    assert (redis_verbs.act(run.home, options)["phase"], len(slept)) == ("done", 500)


def test_where_docker_is_another_unit_it_is_not_waited_for(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a snap, for instance."""
    redis_aof.turn_on(run, REQUEST)
    host.kills()
    host.cache.docker.daemon, host.cache.docker.is_loaded = "inactive", False
    monkeypatch.setattr(redis_down.time, "sleep", lambda _seconds: pytest.fail("it waits"))
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()))
    redis_down.await_docker()
    assert redis_down.await_end(run, REQUEST)


@pytest.mark.parametrize(("status", "said"), [(404, None), (500, "Docker does not say how cache is: broken")])
def test_what_docker_can_not_say_is_not_taken_for_no_container(status: int, said: str | None) -> None:
    engine: Any = SimpleNamespace(call=lambda *_: (status, {"message": "broken"}))
    if said is None:
        assert redis_server.state_of("cache", engine) is None
        return
    with pytest.raises(FailedFault, match=said):
        redis_server.state_of("cache", engine)


# Everybody else.


def test_an_undo_by_hand_waits_for_what_the_host_does(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write(asked=PERSISTED, role="redis_aof")
    phases: list[str] = []
    monkeypatch.setattr(redis_aof, "undo", lambda of, *_: phases.append(of.phase) or {"changed": True})
    monkeypatch.setattr(undo_verb, "active", lambda _unit: False)
    monkeypatch.setattr(undo_verb, "_SETTLING_S", 0.0)
    options = argparse.Namespace(run="R1")
    with run.home.lock("redis"), pytest.raises(RefusedFault, match="the same work runs already"):
        undo_verb.act(run.home, options)
    lock = Home.lock

    def waited(home: Home, name: str = "shared", **how: Any) -> Any:
        if name == "redis":
            # Meanwhile the host's unit came to the run's end.
            home.run("R1").write(phase="done")
        return lock(home, name, **how)

    monkeypatch.setattr(Home, "lock", waited)
    assert undo_verb.act(run.home, options) == {"changed": True}
    assert (phases, host.did) == (["done"], [])


def test_a_move_of_its_data_is_not_told_to_start_it(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    redis_aof.turn_on(run, REQUEST)
    host.kills()
    monkeypatch.setattr(path_refuse.path_refusals, "of_the_container", lambda *_: ["cache does not run: start it"])
    look: Any = SimpleNamespace(home=run.home, run=run.home.run("R2"), request=REQUEST, _open_elsewhere=list, _of_layer=lambda _held: [])
    look._of_stack = lambda *_: []
    monkeypatch.setattr(path_refuse.path_refusals, "of_them_together", lambda _pairs: [])
    moving: Any = SimpleNamespace(paths=[], container="cache", told="/data")
    monkeypatch.setattr(path_refuse.compose, "stack_of", lambda _held: object())
    with pytest.raises(RefusedFault, match=r"run R1 keeps cache down once it ends, .* no start by hand loads") as refused:
        path_refuse.Refuse._moves(look, held(host), {}, moving)
    assert "start it" not in str(refused.value)


@pytest.mark.parametrize("is_told", ["by its journal", "by its container"])
def test_a_release_of_its_project_is_refused(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch, is_told: str) -> None:
    redis_aof.turn_on(run, REQUEST)
    if is_told == "by its container":
        run.write(stack=None)
        held(host)["Config"]["Labels"] = {"com.docker.compose.project": "p"}
        monkeypatch.setattr(stack_look, "inspected", lambda _own: held(host))
    [said] = stack_look.open_elsewhere(run.home, "p", run.home.run("R2"), ())
    assert said.startswith("run R1 keeps cache down once it ends")
    assert stack_look.open_elsewhere(run.home, "q", run.home.run("R2"), ()) == []
    redis_guard.off(run)
    assert stack_look.open_elsewhere(run.home, "p", run.home.run("R2"), ()) == []


@pytest.mark.parametrize("action", ["turn-on", "persist"])
def test_a_dry_run_of_its_own_run_does_not_ask_to_start_it(host: Host, run: Run, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    run.write(asked=PERSISTED)
    redis_aof.turn_on(run, REQUEST)
    host.kills()
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(PERSISTED)))
    said = redis_verbs.act(run.home, argparse.Namespace(run="R1", of=None, action=action, check=True))
    assert (said, changed(host)) == ({"changed": action == "persist"}, [])


# Its configuration file.


@pytest.mark.parametrize(
    "left", [lambda new: new[:9] + "\0" * (len(new) - 9), lambda new: CONF + "\0" * (len(new) - len(CONF)), lambda new: CONF + new[len(CONF) : -3]]
)
def test_a_configuration_file_that_was_cut_off_is_mended_by_itself(run: Run, conf: Path, left: Callable[[str], str]) -> None:
    aside = run.folder / redis_conf._WHOLE
    aside.write_text(CONF)
    conf.write_text(left(WANTED))
    redis_conf.write_down(run, redis_aof.parse(FILED), str(conf))
    assert (conf.read_text(), aside.exists()) == (WANTED, False)


def test_one_that_somebody_wrote_since_is_not(run: Run, conf: Path) -> None:
    (run.folder / redis_conf._WHOLE).write_text(CONF)
    conf.write_text("port 2\n")
    with pytest.raises(FailedFault, match="see to it by hand"):
        redis_conf.write_down(run, redis_aof.parse(FILED), str(conf))
    assert conf.read_text() == "port 2\n"


@pytest.mark.parametrize("is_down", [True, False])
def test_one_that_has_the_settings_all_the_same_is_left_as_it_is(run: Run, seen: Path, is_down: bool) -> None:
    """CONFIG REWRITE, or a person's own hand."""
    theirs = f"{WANTED}# Generated by CONFIG REWRITE\nmaxmemory 1gb\n"
    seen.write_text(theirs)
    request, change, server = redis_aof.parse(FILED), redis_change.of(run), SimpleNamespace()
    assert change is not None
    if is_down:
        redis_conf.write_down(run, request, str(seen))
    else:
        assert not redis_conf.write(run, server, request, change)  # type: ignore[arg-type]
    assert seen.read_text() == theirs


def test_one_that_lacks_them_under_somebodys_edit_is_told_what_to_write(run: Run, conf: Path) -> None:
    conf.write_text("port 2\n")
    with pytest.raises(FailedFault, match=r"cache stands still, .* changed by somebody .* Write 'appendonly yes' there; the host then starts it"):
        redis_conf.write_down(run, redis_aof.parse(FILED), str(conf))


@pytest.fixture
def seen(conf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the configuration file, as a server that runs sees it."""

    @contextmanager
    def opened(_server: Any, _path: str, flags: int) -> Iterator[tuple[str, int]]:
        held = os.open(conf, flags)
        try:
            yield str(conf), held
        finally:
            os.close(held)

    monkeypatch.setattr(redis_file, "opened", opened)
    return conf


HALF = WANTED[:9] + "\0" * (len(WANTED) - 9)


@pytest.mark.parametrize("aside", [CONF, WANTED], ids=["on its way there", "on its way back"])
@pytest.mark.parametrize("verb", ["there", "back"])
def test_one_that_was_cut_off_is_mended_while_its_server_runs_too(run: Run, seen: Path, aside: str, verb: str) -> None:
    (run.folder / redis_conf._WHOLE).write_text(aside)
    seen.write_text(HALF)
    request, change = redis_aof.parse(FILED), redis_change.of(run)
    assert change is not None
    redis_persist.refuse_back(run)
    server: Any = None
    if verb == "there":
        redis_conf.write(run, server, request, change)
    else:
        redis_conf.put_back(run, server, request, change)
    assert (seen.read_text(), (run.folder / redis_conf._WHOLE).exists()) == (WANTED if verb == "there" else CONF, False)


def test_what_lies_aside_is_named_where_a_way_back_can_not_mend_it(run: Run, seen: Path) -> None:
    (run.folder / redis_conf._WHOLE).write_text(CONF)
    seen.write_text("port 2\n")
    change, server = redis_change.of(run), SimpleNamespace()
    assert change is not None
    with pytest.raises(FailedFault, match="configuration-before is its text from before: see to it by hand"):
        redis_conf.put_back(run, server, redis_aof.parse(FILED), change)  # type: ignore[arg-type]
    assert seen.read_text() == "port 2\n"


def test_a_way_back_that_was_cut_off_within_the_file_is_mended_from_what_it_wrote(run: Run, seen: Path) -> None:
    before, after = "appendonly no\nport 1\n", "appendonly yes\nport 1\n"
    (run.folder / redis_change.NAME).write_text(json.dumps(text_change.change_of(before, after)))
    (run.folder / redis_conf._WHOLE).write_text(after)
    seen.write_text(before[:13] + after[13:])
    change, server = redis_change.of(run), SimpleNamespace()
    assert change is not None
    redis_conf.put_back(run, server, redis_aof.parse(FILED), change)  # type: ignore[arg-type]
    assert seen.read_text() == before


def test_one_within_whose_file_a_write_was_cut_off_is_kept_down_still(host: Host, run: Run) -> None:
    run.write(asked=FILED)
    request = redis_aof.parse(FILED)
    redis_aof.turn_on(run, request)
    (run.folder / redis_conf._WHOLE).write_text(CONF)
    redis_guard.release(run, request)
    assert (host.cache.docker.policy, host.cache.docker.units) == ("no", {"R1"})
    (run.folder / redis_conf._WHOLE).unlink()
    redis_guard.release(run, request)
    assert (host.cache.docker.policy, host.cache.docker.units) == ("unless-stopped", set())
