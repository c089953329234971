"""What a cut between a service's stop and its start leaves: what its data were before, and since when it is down."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import (
    command,
    compose,
    files,
    leg_verbs,
    path_downtime,
    path_layer,
    path_postgres,
    path_proof,
    path_stack,
    path_undo,
    persistent_path,
    redis_keys,
    redis_live,
    services,
    settle_units,
)
from controlplane_target.cancel import Cancel
from controlplane_target.faults import CancelledFault, FailedFault
from controlplane_target.path_leg import RESTARTING, RETURNING
from controlplane_target.path_move import PathMove
from controlplane_target.path_proof import Proof
from controlplane_target.path_request import Request, as_json, parse
from controlplane_target.path_return import PathReturn
from controlplane_target.redis_keys import Held
from controlplane_target.state import Home, Run

BEGAN = "2026-01-02T08:00:00Z"
NEVER = "0001-01-01T00:00:00Z"
KEPT = "before-stop.json"
# Later than anything that a test writes.
SOON = 4e9


def moment(boot: str, boot_s: float, at: float, up_s: float = 0.0) -> dict[str, Any]:
    return {"boot_id": boot, "boot_s": boot_s, "up_s": up_s, "at": at}


class Docker:
    """An engine with one container; `at_stop` is called when that is told to stop."""

    path = "/run/docker.sock"

    def __init__(self) -> None:
        self.id, self.started_at, self.running = "old", BEGAN, True
        self.asked: list[str] = []
        self.at_stop: Callable[[], object] = lambda: None
        self.source = ""

    def call(self, method: str, target: str, **_: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, self.get(target)
        what = target.rpartition("/")[2].partition("?")[0]
        self.asked.append(what)
        if what == "stop":
            self.at_stop()
        self.running = {"stop": False, "start": True}.get(what, self.running)
        return (200 if what == "update" else 204), {}

    def summaries(self, *_: str) -> list[Any]:
        return []

    def get(self, _target: str, **_: Any) -> Any:
        state = {"Running": self.running, "StartedAt": self.started_at, "ExitCode": 0}
        host = {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}
        mounts = [{"Type": "bind", "Source": self.source, "Destination": "/data", "RW": True}]
        return {"Id": self.id, "Name": "/shop", "Mounts": mounts, "HostConfig": host, "Config": {}, "State": state}


class Host:
    """A run about to stop its service, what that service says of its data, and the host's clocks."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.docker: Any = Docker()
        self.old, self.new = tmp_path / "old", tmp_path / "new"
        self.docker.source = str(self.old)
        self.request: Request = parse(
            {"container": "shop", "answer_s": 1, "paths": [{"kind": "files", "data": "/data", "place": "/mnt/data/shop", "proof": ["count"]}]}
        )
        self.home = Home(tmp_path / "home")
        self.says, self.answers, self.clock = "3 pages", True, 100.0
        old = {"id": "old", "name": "shop", "restart": {"Name": "always"}, "stop_timeout": 1, "started_at": BEGAN}
        for place in (self.old, self.new):
            place.mkdir()
            (place / "page").write_text("one")
        source = {"kind": "bind", "path": str(self.old), "base": str(self.old), "volume": ""}
        paths = [{"data": "/data", "source": source, "to": str(self.new), "to_mount": "/"}]
        trees = [{"kind": "data", "path": "/data", "from": str(self.old), "to": str(self.new)}]
        self.run.write(phase="stopping", request=as_json(self.request), paths=paths, trees=trees, old=old, stop="one", leg="forward", others=None)
        self.run.write(ends={"well": "done", "back": "reverted"}, stopped_at=None, phase_at={"starting": SOON, RESTARTING: SOON})
        # Nobody writes to either place from here on.
        monkeypatch.setattr(path_proof, "clock_ns", lambda: int(SOON * 1e9))
        for module, name in ((compose, "await_unit"), (path_layer, "off"), (path_stack, "put_back"), (settle_units, "uninstall_after")):
            monkeypatch.setattr(module, name, lambda *_: None)
        monkeypatch.setattr(command, "run", lambda *_, **__: command.Said(0, self.says, ""))
        monkeypatch.setattr(services, "wait_for_answers", lambda *_: ({"shop": math.inf}, []) if self.answers else ({}, ["shop does not answer"]))
        monkeypatch.setattr(path_downtime, "now", lambda: moment("b", self.clock, 0.0))

    @property
    def run(self) -> Run:
        """The journal as the next process reads it."""
        return self.home.run("R1")

    @property
    def file(self) -> Path:
        return self.home.base / "R1" / KEPT

    def leg(self, kind: Any = PathMove) -> Any:
        """Return the leg of a process that knows what is on disk alone."""
        return kind(self.run, Cancel(), [], Proof(self.docker, self.request))

    def stop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stop the service, and be cut off."""

        def cut(*_: Any) -> None:
            raise ConnectionError

        with monkeypatch.context() as patched:
            patched.setattr(PathMove, "_show", cut)
            with pytest.raises(ConnectionError):
                self.leg()._stop_and_copy()


def fared(told: dict[str, Any]) -> dict[str, Any]:
    """Return how the output fared, without the files beside it."""
    return {"output": told["output"], "lost": told["lost"], **({"unknown": told["unknown"]} if told.get("unknown") else {})}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


# What the data were.


def test_what_the_data_are_is_on_disk_before_the_service_is_told_to_stop(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = files.sync_directory

    def sync(path: Path) -> None:
        synced.append(path.name)
        real(path)

    monkeypatch.setattr(files, "sync_directory", sync)
    seen: list[Any] = []
    host.docker.at_stop = lambda: seen.append((json.loads(host.file.read_text()), host.file.stat().st_mode & 0o777, "R1" in synced))
    host.stop(monkeypatch)
    [(held, mode, is_durable)] = seen
    assert (held["mark"], held["life"], mode, is_durable) == ("one", {"id": "old", "started_at": BEGAN}, 0o600, True)
    assert "3 pages" not in host.file.read_text()


@pytest.mark.parametrize(("says", "lost"), [("3 pages", []), ("2 pages", ["the output of count"])])
def test_who_goes_on_after_a_cut_proves_against_it(host: Host, monkeypatch: pytest.MonkeyPatch, says: str, lost: list[str]) -> None:
    host.stop(monkeypatch)
    host.says = says
    told, faults = host.leg()._judged()
    assert fared(told["/data"]) == {"output": "differs" if lost else "same", "lost": lost}
    assert len(faults) == len(lost)


def test_a_page_that_a_client_wrote_meanwhile_fails_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.stop(monkeypatch)
    host.says = "4 pages"
    host.run.write(phase_at={"starting": SOON, "compared": 1.0})
    (host.new / "more").write_text("a client's")
    told, faults = host.leg()._judged()
    assert (fared(told["/data"]), faults) == ({"output": "differs", "lost": [], "unknown": 1}, [])
    assert told["/data"]["not_proven"][0].startswith("what its proof says (its output differs, and files were written since")


def test_what_older_tools_kept_of_an_output_is_compared_with_as_well(host: Host) -> None:
    proof = Proof(host.docker, host.request)
    with proof.held(1):
        said = proof.taken()["said"]
    proof.take(said)
    assert (proof.judged()["output"], proof.taken_ns) == ("same", 0)


def test_what_was_kept_at_another_stop_proves_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.stop(monkeypatch)
    host.run.write(stop="two")
    said = {"/data": {"not_proven": ["all of it: what it was before the stop is not known"]}}
    assert host.leg()._judged() == (said, [])
    # Nor where it went back since, and the service ran on.
    host.run.write(stop="one")
    leg = host.leg()
    leg._begin_back("cut off")
    host.run.write(phase="stopping")
    assert host.leg()._judged() == (said, [])


def test_what_differs_is_unknown_where_an_attempt_before_may_have_started_the_service(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.stop(monkeypatch)
    host.run.write(phase="starting")
    host.says = "2 pages"
    told = []
    for identity, started_at in (("old", BEGAN), ("new", NEVER), ("new", BEGAN)):
        host.docker.id, host.docker.started_at = identity, started_at
        leg = host.leg()
        leg._note_life()
        proof, faults = leg._judged()
        told.append((fared(proof["/data"]), faults))
    lost = ({"output": "differs", "lost": ["the output of count"]}, ["1 of what shop keeps are not as they were before"])
    assert told == [lost, lost, ({"output": "differs", "lost": [], "unknown": 1}, [])]


@pytest.mark.parametrize(
    ("phase", "there", "how"),
    [
        ("switched", "old", {"lost": ["the output of count"]}),
        # Whoever made it anew had clients there already.
        ("switched", "new", {"lost": [], "unknown": 1}),
        ("starting", "new", {"lost": [], "unknown": 1}),
    ],
)
def test_a_leg_that_is_gone_on_with_judges_by_what_is_kept_and_by_how_far_it_was(
    host: Host, monkeypatch: pytest.MonkeyPatch, phase: str, there: str, how: dict[str, Any]
) -> None:
    host.stop(monkeypatch)
    host.docker.id, host.says = there, "2 pages"
    host.run.write(phase=phase)
    for name in ("_written", "_make", "_assert_landed", "finish"):
        monkeypatch.setattr(PathMove, name, lambda _: [])
    host.leg().switch_and_conclude()
    assert (host.run.phase, fared(host.run.state["proof"]["/data"])) == ("answered", {"output": "differs", **how})


def test_nothing_is_stopped_where_it_can_not_be_kept(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real = files.write_atomic

    def full(path: Path, data: bytes, **more: Any) -> None:
        if path == host.file:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data, **more)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_atomic", full)
        with pytest.raises(FailedFault, match=r"can't be kept in .*before-stop\.json: .*No space left.* Make room there, then run this again"):
            host.leg()._stop_and_copy()
    assert host.docker.asked == []


def test_it_is_gone_with_the_leg(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.stop(monkeypatch)
    host.leg().go_back("cut off")
    assert (host.run.phase, host.file.exists()) == ("reverted", False)


@pytest.mark.parametrize(
    ("phase", "started_at", "is_known"),
    [(RETURNING, BEGAN, True), (RETURNING, NEVER, True), (RETURNING, "2026-01-03T08:00:00Z", False), ("done", BEGAN, False)],
    ids=["stopped by an attempt before", "made anew and not started", "started since, and stopped", "stopped by somebody"],
)
def test_a_service_that_stands_still_on_the_way_back_is_proven_by_the_stop_that_was_ours(
    host: Host, monkeypatch: pytest.MonkeyPatch, phase: str, started_at: str, is_known: bool
) -> None:
    host.stop(monkeypatch)
    host.docker.started_at, host.clock = started_at, 900
    host.run.write(phase=phase)
    leg = host.leg(PathReturn)
    leg._stop_for_return({})
    assert host.run.state["down_since"]["boot_s"] == 100
    assert ("output" in leg._judged()[0]["/data"]) is is_known
    assert ("output" in host.leg(PathReturn)._judged()[0]["/data"]) is is_known


def test_the_way_back_keeps_what_the_data_are_once_its_own_mark_is_in_the_journal(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.stop(monkeypatch)
    host.docker.running = True
    host.run.write(phase="done", leg="undo")
    host.says = "4 pages"
    seen: list[Any] = []
    host.docker.at_stop = lambda: seen.append((host.run.phase, host.run.state["stop"], json.loads(host.file.read_text())["mark"]))
    host.leg(PathReturn)._stop_for_return({})
    [(phase, mark, kept)] = seen
    assert (phase, mark == kept, mark == "one") == (RETURNING, True, False)
    assert host.leg(PathReturn)._judged() == ({"/data": {"output": "same", "lost": []}}, [])


@pytest.mark.parametrize(("started_at", "told"), [(NEVER, {"lost": ["the output of count"]}), (BEGAN, {"lost": [], "unknown": 1})])
def test_a_way_back_that_is_gone_on_with_does_not_call_lost_what_clients_may_have_done_since_it_was_started(
    host: Host, monkeypatch: pytest.MonkeyPatch, started_at: str, told: dict[str, Any]
) -> None:
    host.stop(monkeypatch)
    host.docker.started_at, host.says = started_at, "2 pages"
    host.run.write(phase=RESTARTING, ends_back="reverted")
    leg = host.leg(PathReturn)
    if told["lost"]:
        with pytest.raises(FailedFault, match="1 of what shop keeps are not as they were before"):
            leg.come_back("cut off")
    else:
        leg.come_back("cut off")
    assert fared(host.run.state["proof"]["/data"]) == {"output": "differs", **told}


def test_what_was_not_proven_is_named_in_the_receipt_and_what_is_lost_is_not(tmp_path: Path) -> None:
    many = [f"table shop.public.t{number} (busy)" for number in range(60)]
    told = persistent_path.counted({"tables": 1, "lost": ["a", "b"], "not_proven": many}, tmp_path)
    assert told == {"tables": 1, "lost": 2, "not_proven": [*many[:50], f"and 10 more, named in {tmp_path}"]}
    assert persistent_path.counted({"lost": [], "not_proven": many[:1]}, tmp_path) == {"lost": 0, "not_proven": many[:1]}
    assert persistent_path.counted({"lost": [], "not_proven": []}, tmp_path) == {"lost": 0}


def test_a_hold_that_fails_leaves_nothing_of_a_stop_before_to_prove_by(host: Host) -> None:
    proof = Proof(host.docker, host.request)
    with proof.held(1):
        assert proof.taken() is not None
    host.docker.running = True
    host.says = ""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(command, "run", lambda *_, **__: command.Said(1, "", "gone"))
        with pytest.raises(FailedFault, match="ended with 1: gone"), proof.held(1):
            pass
    assert proof.taken() is None


def test_keys_of_a_redis_come_back_from_disk_as_they_were(host: Host) -> None:
    request = parse({"container": "cache", "paths": [{"kind": "redis", "data": "/data", "place": "/mnt/data/cache"}]})
    table = {0: {b"\xff\x00k": Held(b"\x01\x02", 5, 7, ((9, b"\x03"),)), b"": Held(b"", -1, 0)}, 3: {}}
    proof, other = (Proof(host.docker, request) for _ in range(2))
    for before in ((table, {0: 2}), (None, {0: 1_000_000})):
        proof._before = before
        other.take(json.loads(json.dumps(proof.taken())))
        assert other._before == before
    other.take(None)
    assert other.taken() is None


def test_what_a_redis_had_only_while_it_ran_is_refused_before_and_told_by_name_by_whoever_goes_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        """A Redis with users and settings, and without keys."""

        users, runs = ["user default on", "user ops on"], {"dir": "/data", "appendonly": "yes", "hz": "50"}
        redis = property(lambda self: self)

        def ask(self, *words: str) -> Any:
            return [line.encode() for line in self.users] if words == ("ACL", "LIST") else []

        def info(self, _section: str) -> dict[str, str]:
            return {}

        def settings(self, names: list[str]) -> dict[str, str]:
            return {name: value for name, value in self.runs.items() if name in names or names == ["*"]}

        def await_quiet(self, _wait_s: float) -> None:
            """It writes nothing."""

        def close(self) -> None:
            """Nothing is open."""

    server = Server()
    monkeypatch.setattr(path_proof, "writes_held", lambda _redis: nullcontext())
    monkeypatch.setattr(Proof, "_redis", lambda _proof: server)
    monkeypatch.setattr(redis_live, "forgotten", lambda held, *, leaving, anew: [f"{held is server} {leaving} {anew}"])
    request = parse({"container": "cache", "paths": [{"kind": "redis", "data": "/data", "place": "/mnt/data/cache"}]})
    proof, other = (Proof(host.docker, request) for _ in range(2))
    assert proof.refusals() == ["True ('appendonly',) True"]
    with proof.held(1):
        kept = json.dumps(proof.taken())
    other.take(json.loads(kept))
    # Keys are compared elsewhere.
    monkeypatch.setattr(redis_keys, "compared", lambda *_: {"names": [], "lost": 0})
    assert "forgotten" not in other.judged()
    server.users, server.runs = server.users[:1], {**server.runs, "hz": "10"}
    told = other.judged()
    assert (told["forgotten"], told["lost"]) == ({"users": ["ops"], "settings": ["hz"]}, [])
    assert "50" not in json.loads(kept)["live"]["settings"].values()


# How long it is down.


@pytest.mark.parametrize(
    ("since", "until", "seconds"),
    [
        (moment("a", 100, 1000), moment("a", 107.5, 1007.5), 7.5),
        # The host's clock was set meanwhile, back and on.
        (moment("a", 100, 1000), moment("a", 107.5, 10), 7.5),
        (moment("a", 100, 1000), moment("a", 107.5, 99_999), 7.5),
        (moment("a", 100, 1000), moment("b", 20, 1100, up_s=20), 100),
        (moment("a", 100, 1000), moment("b", 20, 900, up_s=20), 20),
        # A machine in a container: the kernel's clock is older than it.
        (moment("a", 100, 1000), moment("b", 99_999, 1100, up_s=20), 100),
    ],
)
def test_no_clock_that_is_set_makes_a_downtime_wrong_within_a_boot_or_negative_across_two(
    since: dict[str, Any], until: dict[str, Any], seconds: float
) -> None:
    assert path_downtime.between(since, until) == seconds


def test_a_machine_is_up_for_as_long_as_its_first_process() -> None:
    first, second = path_downtime.now(), path_downtime.now()
    assert 0 <= first["up_s"] <= first["boot_s"]
    assert (first["boot_id"], second["up_s"] >= first["up_s"]) == (second["boot_id"], True)


def test_it_counts_from_the_first_write_that_waits_over_all_stops_of_a_run(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.docker.at_stop = lambda: setattr(host, "clock", host.clock + 5)
    host.stop(monkeypatch)
    assert host.run.state["down_since"]["boot_s"] == 100
    host.clock = 120
    # Another process goes on.
    host.leg().go_back("cut off")
    assert (host.run.phase, host.run.state["downtime_s"], host.run.state["down_since"]) == ("reverted", {"shop": 20.0}, None)
    host.clock = 1000
    host.run.write(phase="stopping", stop="two")
    host.stop(monkeypatch)
    host.clock = 1003
    host.leg().go_back("cut off again")
    assert host.run.state["downtime_s"] == {"shop": 23.0}


def test_one_that_does_not_answer_was_down_for_so_long_at_least(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.stop(monkeypatch)
    host.answers, host.clock = False, 150
    host.leg().go_back("cut off")
    assert (host.run.state["downtime_s"], host.run.state["complaint"]) == ({"shop": 50.0}, "shop does not answer")


def test_a_hold_that_no_stop_came_of_is_not_counted_until_somebody_came_back(host: Host) -> None:
    path_downtime.begin(host.run)
    host.clock = 100_000
    host.leg().go_back("killed while it held writes")
    assert host.run.state["downtime_s"] == {"shop": 62.0}


@pytest.mark.parametrize(("leg", "counted"), [("forward", {}), ("undo", {"shop": 7.0})], ids=["what it cost there", "what the undo cost so far"])
def test_an_undo_adds_to_what_it_cost_so_far_and_to_nothing_else(
    host: Host, monkeypatch: pytest.MonkeyPatch, leg: str, counted: dict[str, float]
) -> None:
    host.run.write(role="persistent_paths", phase="done", leg=leg, governed=[], stack={}, stack_after={}, downtime_s={"shop": 7.0})
    verbs: Any = persistent_path.PersistentPath(host.home, host.docker, Cancel())
    for module, name in ((path_undo, "_refuse"), (leg_verbs, "assert_leased"), (PathReturn, "come_back")):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    run = host.run
    path_undo.undo(verbs, run, run)
    assert (run.state["leg"], run.state["downtime_s"]) == ("undo", counted)


def test_the_moment_is_noted_before_writes_are_held(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []

    @contextmanager
    def writes_held(_redis: Any) -> Iterator[None]:
        noted.append("held")
        yield

    class Server:
        """A Redis that has nothing."""

        def __init__(self) -> None:
            self.redis = self

        def info(self, _section: str) -> dict[str, str]:
            return {}

        def ask(self, *_words: str) -> Any:
            return []

        def settings(self, _names: list[str]) -> dict[str, str]:
            return {"appendonly": "yes"}

        def await_quiet(self, _wait_s: float) -> None:
            noted.append("quiet")

        def close(self) -> None:
            """Nothing is open."""

    request = parse({"container": "cache", "paths": [{"kind": "redis", "data": "/data", "place": "/mnt/data/cache"}]})
    monkeypatch.setattr(path_proof, "writes_held", writes_held)
    monkeypatch.setattr(Proof, "_redis", lambda _proof: Server())
    with Proof(host.docker, request).held(1, lambda: noted.append("begin")):
        assert noted == ["quiet", "begin", "held", "quiet"]

    class Session:
        """A PostgreSQL without tables."""

        def rows(self, query: str) -> list[list[str]]:
            noted.append(query.partition(" ")[0])
            return [["postgres"]] if "datallowconn" in query or "pg_control" in query else []

        def close(self) -> None:
            """Nothing is open."""

    noted.clear()
    with path_postgres.held(lambda _name: Session(), lambda: noted.append("begin")):  # type: ignore[arg-type, return-value] # a fake
        assert noted[: noted.index("begin")] == ["SELECT", "SELECT"]


def test_a_cancel_that_comes_right_before_writes_are_held_stops_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = host.leg()
    monkeypatch.setattr(leg.proof, "_said", lambda: setattr(leg.cancel, "asked", True))
    with pytest.raises(CancelledFault):
        leg._stop_and_copy()
    assert (host.docker.asked, host.run.state.get("down_since")) == ([], None)


def test_what_a_leg_cost_that_went_back_is_told_as_well(host: Host) -> None:
    host.run.write(phase="reverted", downtime_s={"shop": 4.5}, unit=None, outcome={"verb": "move", "rc": 1, "message": "the copy differs"})
    assert leg_verbs.wait(host.run, 0, None)["downtime_s"] == {"shop": 4.5}
