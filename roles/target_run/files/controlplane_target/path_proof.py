"""The proof of a move by the data's own reading, one way for each kind of service.

postgres: rows of each table, counted and summed. redis: each key's type, value and expiry. files: the output of the policy's own command; where that
differs its files decide (path_fared.py). minio, and files without a command: the sha256 of each file, old place against new one (path_listing.py), once
the service runs.

Rules:
- What is read before is read with writes held until the service stops, so that nothing acknowledged lies between. A command's output is not: nobody can
  hold the writes of any service.
- A Redis without an append-only file writes its dump within that time: it would not do so at a stop unless it has save points.
- One that was started is waited for as long as it gets on with loading its data.
- What was read before a stop can be kept and taken up by another process (path_kept.py). Where nothing was, or where the service may have run in between
  so that nobody knows what clients did in that time, what differs is told as unknown: it is neither lost nor as it was.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from . import command, path_amcheck, path_kept, path_postgres, redis_keys, redis_live
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .path_request import SURFACE, Request
from .postgres_client import Postgres, PostgresError
from .redis_client import LoadingError, LoginError, loaded
from .redis_hold import writes_held
from .redis_server import Login, Server
from .starting import Patience
from .tree_compare import clock_ns

_MOST_KEYS = 500_000
_READ_S = 30.0
_PROOF_S = 600.0
# SQLSTATE cannot_connect_now: it starts, or reads its log.
_NOT_NOW = "57P03"


class Proof:
    """What one service says of its own data. `password` is one that only the controller knows."""

    def __init__(self, engine: Engine, request: Request, password: str | None = None) -> None:
        self.engine, self.request, self.password = engine, request, password
        own = request.service
        self._kind, self._data, self._words = (own.kind, own.data, own.proof) if own is not None else (SURFACE, "", ())
        self._before: Any = None
        # Of a Redis: its settings and users, which a start may forget.
        self._live: dict[str, Any] | None = None
        # Of the server that is judged: only in its first life since the stop do its own counters tell all that clients did.
        self.is_first_life = True
        # Of what is held next: whether it serves, so that what takes its time can be read before.
        self.is_served = True
        self._ahead: path_postgres.Ahead | None = None

    def refusals(self) -> list[str]:
        """Return what of the service itself speaks against a move."""
        kind, name = self._kind, self.request.container
        if kind == "postgres":
            return path_postgres.refuse(self._postgres, name, self._data)
        if kind == "redis":
            return self._of_redis()
        return []

    @property
    def is_taken(self) -> bool:
        """Say whether anything is known of how the data were before the stop."""
        return self._before is not None

    @property
    def taken_ns(self) -> int:
        """Return since when (epoch ns) the output of the policy's command was read before the stop."""
        return int(self._before["began_ns"])

    def taken(self) -> Any:
        """Return what was read before the stop, as JSON holds it; None where nothing was."""
        if self._kind != "redis" or self._before is None:
            return self._before
        table, counted = self._before
        return {"keys": path_kept.plain(table), "counts": {str(database): count for database, count in counted.items()}, "live": self._live}

    def take(self, taken: Any) -> None:
        """Go by what another process read before the stop, as `taken` gave it; None where nothing is known of it."""
        # Of a leg that older tools were cut off in there is the output's digest alone.
        self._before = {"said": taken, "began_ns": 0} if isinstance(taken, str) else taken
        if self._kind == "redis" and taken is not None:
            counted = {int(database): int(count) for database, count in taken["counts"].items()}
            self._before, self._live = (path_kept.table_of(taken["keys"]), counted), taken["live"]

    def read_ahead(self, check: Callable[[], None] = lambda: None) -> None:
        """Read what the next hold has no time for, while the service serves; to read may write to its files. `check` may raise in between."""
        if self._kind == "postgres":
            self._ahead = path_postgres.read_ahead(self._postgres, check)

    @contextmanager
    def held(self, wait_s: float, begin: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold writes as long as the body runs, with all on disk that a start will read. `begin` is called before the first write waits.

        Raises `FailedFault`, `OSError`.
        """
        kind, self._before = self._kind, None
        if kind == "postgres":
            if self._ahead is None and self.is_served:
                self.read_ahead()
            # It is of this hold: another one's rows may be older ones by then.
            known, self._ahead = self._ahead, None
            with path_postgres.held(self._postgres, begin, known) as self._before:
                yield
        elif kind == "redis":
            server = self._redis()
            with closing(server.redis):
                # While it serves: within the hold clients would wait for it.
                server.await_quiet(wait_s)
            server, holding = self._redis(), self._redis().redis
            begin()
            with closing(server.redis), writes_held(holding):
                counted, self._live = redis_keys.counts(server.redis), redis_live.noted(server.redis)
                few = sum(counted.values()) <= _MOST_KEYS
                self._before = (redis_keys.table(server.redis, limit_s=_READ_S) if few else None, counted)
                if server.redis.settings(["appendonly"])["appendonly"] != "yes":
                    server.await_saved(wait_s)
                else:
                    server.await_quiet(wait_s)
                yield
        else:
            began = clock_ns()
            self._before = {"said": self._said(), "began_ns": began} if self._words else None
            begin()
            yield

    def answers(self) -> bool | None:
        """Say whether the store can be asked now, with its data loaded; None where it tells nothing by itself, or lets nobody in."""
        return self._looked()[0]

    def _looked(self) -> tuple[bool | None, tuple[int, int]]:
        """Return what `answers` does, with the (bytes, keys) that a Redis has loaded so far."""
        said: bool | None = None
        got = (0, 0)
        try:
            if self._kind == "postgres":
                self._postgres("postgres").close()
                said = True
            elif self._kind == "redis":
                with closing(self._redis().redis) as redis:
                    said = redis.info("persistence").get("loading") == "0"
                    got = got if said else loaded(redis)
        except PostgresError as fault:
            said = False if fault.sqlstate == _NOT_NOW else None
        except LoginError:
            said = None
        except LoadingError as fault:
            said, got = False, fault.loaded
        except (FailedFault, RefusedFault, OSError):
            said = False
        return said, got

    def answered_at(self, limit_s: float) -> float | None:
        """Return the time (epoch) at which the store that was started can be asked; None where it does not run, or says or loads nothing more for so long."""
        patience = Patience(limit_s)
        while (looked := self._looked())[0] is False and not patience.is_over and self._runs():
            patience.sees(looked[1])
            time.sleep(0.05)
        return time.time() if looked[0] else None

    def _runs(self) -> bool:
        status, held = self.engine.call("GET", f"/containers/{self.request.container}/json")
        return status == 200 and bool(held["State"]["Running"])

    def judged(self) -> dict[str, Any]:
        """Return how the data fare in the service that runs now. Raises `FailedFault`, `OSError`.

        `lost` names what is not as it was, `unknown` is the number of what differs so that nobody can say why, `not_proven` says in words what was not compared.
        """
        if self._before is None:
            is_cut = self._kind in ("postgres", "redis") or bool(self._words)
            return {"not_proven": ["all of it: what it was before the stop is not known" if is_cut else "all of it: it has no proof of its own"]}
        if self._kind == "postgres":
            told = path_postgres.judged(self._postgres, self._before)
            return self._checked(self._sure(told, len(told["lost"])))
        if self._kind == "redis":
            return self._judged_redis()
        is_same = self._said() == self._before["said"]
        return self._sure({"output": "same" if is_same else "differs", "lost": [] if is_same else [f"the output of {self._words[0]}"]}, 1)

    def _judged_redis(self) -> dict[str, Any]:
        table, counted = self._before
        server = self._redis()
        with closing(server.redis):
            fared = redis_keys.compared(table, counted, server.redis)
            forgotten = redis_live.lost_since(self._live, server.redis, leaving=()) if self._live is not None else {}
        named, lost = fared.pop("names"), fared["lost"]
        told = {"keys": sum(counted.values()), **fared, "lost": named[:lost] or (["keys"] if lost else [])}
        if forgotten:
            told["forgotten"] = forgotten
        if table is None:
            told["not_proven"] = [f"what each key holds (too many, or too slow to read: of {told['keys']} keys only the number was compared)"]
        return self._sure(told, lost)

    def _sure(self, told: dict[str, Any], lost: int) -> dict[str, Any]:
        """Return what was told, with what would be lost as unknown where clients may have worked in a life of the server that nobody counted."""
        if self.is_first_life or not told["lost"]:
            return told
        return {**told, "unknown": int(told.get("unknown", 0)) + lost, "lost": []}

    def _checked(self, told: dict[str, Any]) -> dict[str, Any]:
        """Return what was told with what PostgreSQL's own check of its files says."""
        session = self._postgres("postgres")
        try:
            user, directory = map(str, session.rows("SELECT current_user, current_setting('data_directory')")[0])
        finally:
            session.close()
        came, corrupt = path_amcheck.checked(self.request.container, user, directory)
        lost = [*told.get("lost", []), *([f"pg_amcheck: {corrupt}"] if corrupt is not None else [])]
        return {**told, "amcheck": came, "lost": lost, "not_proven": [*told.get("not_proven", []), *path_amcheck.left(came)]}

    def _of_redis(self) -> list[str]:
        try:
            server = self._redis()
        except (OSError, FailedFault) as fault:
            return [str(fault)]
        with closing(server.redis):
            folder = server.redis.settings(["dir"])["dir"]
            # Turned on while it runs, the append-only file has a refusal of its own (redis_rest.py).
            found = redis_live.forgotten(server, leaving=("appendonly",), anew=True)
        if folder == self._data or folder.startswith(self._data.rstrip("/") + "/"):
            return found
        return [*found, f"Redis keeps its data in {folder}, not in {self._data}: name that in the policy"]

    def retried(self, limit_s: float) -> dict[str, Any]:
        """Return what `judged` does, as soon as the service can be asked: one that runs may still load. Raises `FailedFault`, `OSError`."""
        end = time.monotonic() + limit_s
        while True:
            try:
                return self.judged()
            except (FailedFault, OSError):
                if time.monotonic() > end:
                    raise
            time.sleep(0.5)

    def _pid(self) -> int:
        state = self.engine.get(f"/containers/{self.request.container}/json")
        if not state["State"]["Running"]:
            raise FailedFault(f"{self.request.container} does not run")
        return int(state["State"]["Pid"])

    def _postgres(self, database: str) -> Postgres:
        inspection = self.engine.get(f"/containers/{self.request.container}/json")
        environment = dict(str(pair).partition("=")[::2] for pair in inspection["Config"].get("Env") or [])
        failure: Exception = FailedFault("it does not run")
        for user in dict.fromkeys(filter(None, (self.request.user, environment.get("POSTGRES_USER"), "postgres"))):
            try:
                return Postgres(self._pid(), user, database)
            except PostgresError as fault:
                failure = fault
        raise failure

    def _redis(self) -> Server:
        login = Login(self.request.user or None, self.request.variable or None, self.password)
        return Server(self.request.container, login, self.request.port, None, self.engine)

    def _said(self) -> str:
        """Return the digest of what the policy's command says: that may be anything, and is kept on no disk."""
        said = command.run(["docker", "exec", self.request.container, *self._words], timeout_s=_PROOF_S)
        if said.code != 0:
            raise FailedFault(
                f"{self.request.container}: its proof {' '.join(self._words)} ended with {said.code}: {said.err.strip()[-300:] or said.out.strip()[-300:]}"
            )
        return hashlib.sha256(said.out.encode("utf-8", "surrogateescape")).hexdigest()
