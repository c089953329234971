"""A Redis whose run is cut off while its container is made anew: whoever goes on compares each key with what lies on disk from before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from controlplane_target import files, redis_anew, redis_aof, redis_keys, redis_persist, redis_server
from controlplane_target.faults import FailedFault
from controlplane_target.redis_keys import Held
from controlplane_target.state import Run

from tests.unit.roles.redis_docker import FIRST, POLICY, SECOND
from tests.unit.roles.test_target_redis_kept import HELD, KEYS, PERSISTED, Cache, anew, cache, journal, kept, run

__all__ = ["anew", "cache", "run"]

KEPT = "before-stop.json"
NUMBER = "what each key holds (too many, too slow to read, or not kept: of 3 keys only the number was compared)"
UNSURE = "keys that are gone or differ (the server may have been started before: nobody counted what clients did then)"
RUNS = {"Running": True, "Status": "running", "StartedAt": "2026-01-01T00:00:00Z"}
Anew = Callable[[Callable[[], object]], None]


class CutError(Exception):
    """The process was killed."""


def cut() -> None:
    raise CutError


def cut_off(run: Run, anew: Anew) -> redis_aof.Request:
    """Bring a run to where its container is made anew, and cut it off; return its request."""
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    anew(cut)
    with pytest.raises(CutError):
        redis_aof.persist(run, request)
    assert journal(run).phase == "making-anew"
    return request


def told(run: Run) -> dict[str, Any]:
    keys = journal(run).state["keys"]
    return {name: value for name, value in keys.items() if value and name not in ("before", "names", "touched")}


def test_what_each_key_held_is_on_disk_before_anything_stops(cache: Cache, run: Run, anew: Anew) -> None:
    assert cache.keys == KEYS
    cut_off(run, anew)
    held = json.loads((run.folder / KEPT).read_text())
    assert (held["mark"], len(held["taken"]["0"]), (run.folder / KEPT).stat().st_mode & 0o777) == (journal(run).state["stop"], 3, 0o600)


def test_a_key_that_is_missing_is_not_hidden_by_a_new_one(cache: Cache, run: Run, anew: Anew) -> None:
    request = cut_off(run, anew)
    cache.keys.pop(b"b")
    cache.keys[b"new"] = Held(b"4", -1, 900)
    redis_aof.persist(journal(run), request)
    assert told(run) == {"equal": 2, "unknown": 1, "not_proven": [f"1 {UNSURE}"]}
    # The dump from before stays for a person, and nothing that names keys does.
    assert (journal(run).phase, kept(cache) is not None, (run.folder / KEPT).exists()) == ("done", True, False)


def test_with_every_key_there_all_of_them_are_proven(cache: Cache, run: Run, anew: Anew) -> None:
    request = cut_off(run, anew)
    redis_aof.persist(journal(run), request)
    assert (told(run), journal(run).phase, kept(cache)) == ({"equal": 3}, "done", None)


def test_what_the_number_alone_shows_is_lost_whoever_goes_on(cache: Cache, run: Run, anew: Anew) -> None:
    request = cut_off(run, anew)
    cache.keys = {b"a": Held(b"other", -1, 900)}
    with pytest.raises(FailedFault, match="2 keys of cache are gone or differ"):
        redis_aof.persist(journal(run), request)
    assert told(run) == {"lost": 2, "unknown": 1, "not_proven": [f"1 {UNSURE}"]}


@pytest.mark.parametrize("was_read", [True, False])
@pytest.mark.parametrize("how", ["started again", "made anew once more", "as it was made"])
def test_where_it_was_started_since_the_number_says_nothing_either(cache: Cache, run: Run, anew: Anew, how: str, *, was_read: bool) -> None:
    """What counted its clients' calls is gone with the life in which they removed keys."""
    request = cut_off(run, anew)
    if not was_read:
        (run.folder / KEPT).unlink()
    run.write(made="one")
    ended = "2026-01-01T00:00:00Z" if how == "started again" else "0001-01-01T00:00:00Z"
    held = redis_aof.Request.server(request).inspection
    held.update(Id="two" if how == "made anew once more" else "one", State={**held["State"], "FinishedAt": ended})
    cache.keys = {b"a": Held(b"other", -1, 900)}
    if how == "as it was made":
        with pytest.raises(FailedFault, match="2 keys of cache are gone or differ"):
            redis_aof.persist(journal(run), request)
        return
    redis_aof.persist(journal(run), request)
    doubts = [f"3 {UNSURE}"] if was_read else [NUMBER, f"2 {UNSURE}"]
    assert told(run) == {"unknown": 3 if was_read else 2, "not_proven": doubts}
    assert (journal(run).phase, kept(cache) is not None) == ("done", True)


def test_a_server_that_is_started_by_whoever_goes_on_is_judged_in_full(cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch) -> None:
    request = cut_off(run, anew)
    cache.keys[b"b"] = Held(b"other", -1, 900)
    anew(lambda: None)
    monkeypatch.setattr(redis_aof, "state_of", lambda _name: {**RUNS, "Running": False, "Status": "created"})
    with pytest.raises(FailedFault, match="1 keys of cache are gone or differ"):
        redis_aof.persist(journal(run), request)
    assert told(run) == {"equal": 2, "lost": 1}


@pytest.mark.parametrize("was_read", [True, False])
def test_where_only_the_number_is_known_the_receipt_says_so(
    cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch, was_read: bool
) -> None:
    if not was_read:
        monkeypatch.setattr(redis_keys, "table", lambda _redis, limit_s=0.0: None)  # noqa: ARG005 - as it is called
    request = cut_off(run, anew)
    if was_read:
        # Of a cut by older tools.
        (run.folder / KEPT).unlink()
    redis_aof.persist(journal(run), request)
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [])
    assert redis_aof.prove(journal(run), request)["told"]["keys"]["not_proven"] == [NUMBER]
    assert cache.keys == KEYS


def test_a_run_that_was_not_cut_off_says_so_as_well_of_too_many_keys(cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch) -> None:
    anew(lambda: None)
    monkeypatch.setattr(redis_anew, "_MOST_KEYS", 2)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    redis_aof.persist(run, request)
    assert (told(run), len(cache.keys)) == ({"not_proven": [NUMBER]}, 3)


def test_what_was_kept_at_another_stop_is_not_compared_with(cache: Cache, run: Run, anew: Anew) -> None:
    request = cut_off(run, anew)
    run.write(stop="another")
    redis_aof.persist(journal(run), request)
    assert (told(run)["not_proven"], len(cache.keys)) == ([NUMBER], 3)


def test_without_room_for_it_nothing_is_stopped(cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch) -> None:
    anew(lambda: pytest.fail("it was made anew"))
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        # The journal itself still has room.
        real = files.write_atomic
        patched.setattr(files, "write_atomic", lambda path, data, **more: (full if path.name == KEPT else real)(path, data, **more))
        with pytest.raises(FailedFault, match=r"can't be kept in .*before-stop\.json: .*No space left"):
            redis_aof.persist(run, request)
    assert (journal(run).phase, len(cache.keys)) == ("on", 3)


def test_a_way_back_that_is_cut_off_compares_its_keys_as_well(cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch) -> None:
    anew(lambda: None)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    redis_aof.persist(run, request)
    monkeypatch.setattr(redis_server.Server, "await_saved", lambda *_: None)
    for module, names in ((redis_persist, ("refuse_back", "put_back")), (redis_aof, ("_refuse_unless_running", "_set_back"))):
        for name in names:
            monkeypatch.setattr(module, name, lambda *_: False)
    anew(cut)
    with pytest.raises(CutError):
        redis_aof.undo(run, run, request)
    assert journal(run).phase == "undoing-anew"
    cache.keys.pop(b"b")
    cache.keys[b"new"] = Held(b"4", -1, 900)
    monkeypatch.setattr(redis_persist, "is_told", lambda *_: False)
    redis_aof.undo(journal(run), journal(run), request)
    assert (journal(run).phase, told(run)["unknown"], (run.folder / KEPT).exists()) == ("undone", 1, False)


# Started again while the run works on it.


def test_one_that_is_started_again_before_its_container_is_made_anew_is_turned_on_once_more(
    cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file of its earlier life has is stale: a new container would load that, and not what clients wrote since."""
    lives: list[str] = []
    anew(lambda: lives.append(journal(run).state["started_at"]))

    def restarted(_run: Run) -> None:
        if cache.docker.state["StartedAt"] == FIRST:
            # Somebody's own 'docker restart': no policy does that.
            cache.docker.starts(SECOND)
            cache.runs["appendonly"] = "no"
            cache.keys = {b"a": KEYS[b"a"], b"since": Held(b"9", -1, 900)}

    monkeypatch.setattr(redis_persist, "assert_as_written", restarted)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    assert redis_aof.persist(run, request)["changed"] is True
    assert (lives, cache.runs["appendonly"], journal(run).phase) == ([SECOND], "yes", "done")
    # What only the stale file may have is told, and the dump from before stays.
    [doubt] = journal(run).state["doubts"]
    assert doubt == (
        "cache was started again since its append-only file was on: what it acknowledged after its last dump may be in appendonlydir.R1 alone"
    )
    assert (kept(cache), (cache.data / "appendonlydir.R1").is_dir()) == (HELD, True)
    assert doubt in journal(run).state["keys"]["not_proven"]
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: [])
    said = redis_aof.prove(journal(run), request)["told"]
    assert (said["notes"], said["dump_kept"]) == ([doubt], True)


def test_one_that_is_started_again_within_the_hold_is_not_stopped(cache: Cache, run: Run, anew: Anew) -> None:
    anew(lambda: pytest.fail("it was made anew"))
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    run.write(phase="on", started_at="2025-01-01T00:00:00Z")
    with pytest.raises(
        redis_anew.StartedAgainFault, match=r"^cache was started again since .* Nothing was stopped\. Make a new plan: it turns it on"
    ):
        redis_anew.make_anew(run, run, request, phase="making-anew")
    run.write(started_at=FIRST)
    cache.runs["appendonly"] = "no"
    with pytest.raises(redis_anew.StartedAgainFault):
        redis_anew.make_anew(run, run, request, phase="making-anew")
    assert (journal(run).phase, cache.docker.did) == ("on", ["watch R1", "restart one no"])


@pytest.mark.parametrize("is_read", [True, False])
def test_a_container_starts_by_nobody_but_compose_from_the_hold_on_where_its_start_would_pass_the_file_by(
    cache: Cache, run: Run, anew: Anew, is_read: bool
) -> None:
    """Clients of a life in between would be in no file that the new one reads."""
    seen: list[tuple[str, bool]] = []
    anew(lambda: seen.append((cache.docker.policy, bool(journal(run).state.get("guard")))))
    settings = {"appendonly": "yes", "appendfsync": "always"}
    # Where a start reads that it is on, only how it is synced is to be persisted.
    cache.runs["appendonly"] = "yes"
    (cache.data / "appendonlydir").mkdir()
    (cache.data / "appendonlydir/appendonly.aof.manifest").write_text("x")
    request = redis_aof.parse({**PERSISTED, "settings": settings, "persist": ["appendfsync"] if is_read else ["appendonly", "appendfsync"]})
    redis_aof.persist(run, request)
    assert seen == [(POLICY["Name"], False) if is_read else ("no", True)]
    # It is the same container here: of its files a new one has its own.
    assert (cache.docker.policy, journal(run).state.get("guard"), cache.docker.units) == ("unless-stopped", None, set())


@pytest.mark.parametrize("settings", [{"save": "900 1"}, {"appendfsync": "always"}])
def test_one_of_whose_file_nothing_is_asked_is_not_kept_down_for_it(cache: Cache, run: Run, anew: Anew, settings: dict[str, str]) -> None:
    """There may be none, and never was."""
    seen: list[str] = []
    anew(lambda: (seen.append(cache.docker.policy), cache.runs.update(settings)))
    request = redis_aof.parse({**PERSISTED, "settings": settings, "persist": list(settings)})
    redis_aof.turn_on(run, request)
    redis_aof.persist(run, request)
    assert (seen, cache.docker.did, cache.runs["appendonly"]) == (["unless-stopped"], [], "no")


def test_where_compose_fails_and_it_runs_on_its_policy_is_its_own_again(cache: Cache, run: Run, anew: Anew) -> None:
    def fails() -> None:
        raise FailedFault("Compose did not bring cache up")

    anew(fails)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    assert cache.docker.policy == "no"
    with pytest.raises(FailedFault, match="did not bring cache up"):
        redis_aof.persist(run, request)
    assert (cache.docker.policy, journal(run).phase) == ("unless-stopped", "making-anew")


def test_where_compose_stopped_it_and_failed_it_stays_down(cache: Cache, run: Run, anew: Anew) -> None:
    def fails() -> None:
        cache.docker.ends()
        raise FailedFault("Compose did not bring cache up")

    anew(fails)
    request = redis_aof.parse(PERSISTED)
    redis_aof.turn_on(run, request)
    with pytest.raises(FailedFault, match="did not bring cache up"):
        redis_aof.persist(run, request)
    assert (cache.docker.policy, cache.docker.units, bool(journal(run).state["guard"])) == ("no", {"R1"}, True)


def test_a_configuration_file_is_written_only_for_the_life_that_has_the_file(cache: Cache, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    request = redis_aof.parse({**PERSISTED, "route": "file", "file": "/etc/redis.conf"})
    lacking, written = [["it lacks them"]], list[str]()
    monkeypatch.setattr(redis_persist, "lacking", lambda *_: lacking[-1])

    def write(*_: Any) -> bool:
        written.append(cache.docker.state["StartedAt"])
        if len(written) == 1:
            # In the moment before: its next start may read the file, and then it does not.
            cache.docker.starts(SECOND)
            cache.runs["appendonly"] = "no"
        else:
            lacking.append([])
        return True

    monkeypatch.setattr(redis_persist, "write", write)
    redis_aof.turn_on(run, request)
    redis_aof.persist(run, request)
    assert (written, cache.runs["appendonly"], journal(run).phase) == ([FIRST, SECOND], "yes", "done")
    assert (cache.docker.policy, len(journal(run).state["doubts"])) == ("unless-stopped", 1)


def test_a_known_loss_after_a_cut_is_no_pass(cache: Cache, run: Run, anew: Anew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writes were held with three keys; it came back by its dump, with one, and was not made anew."""
    request = cut_off(run, anew)
    cache.docker.starts(SECOND)
    cache.keys, cache.runs["appendonly"] = {b"a": KEYS[b"a"]}, "no"
    anew(lambda: monkeypatch.setattr(redis_persist, "is_told", lambda *_: True))
    monkeypatch.setattr(redis_persist, "is_told", lambda *_: False)
    redis_aof.persist(journal(run), request)
    assert (journal(run).phase, kept(cache)) == ("done", HELD)
    compared, stale = journal(run).state["doubts"]
    assert compared == (
        "of 3 keys of cache 1 are equal, 2 are unknown, between when its writes were held and a start of it by which it was not made anew"
    )
    assert "may be in appendonlydir.R1 alone" in stale
    assert (journal(run).state["keys"]["before"], journal(run).state["keys"]["not_proven"]) == (1, [compared, stale])
