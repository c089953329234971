"""The proof of a move by the data's own reading, one way for each kind of service.

postgres: rows of each table, counted and summed. redis: each key's type, value and expiry. files: the output of the policy's own command.
minio, and files without a command: the sha256 of each file, old place against new one (path_listing.py), once the service runs.

Rules:
- What is read before is read with writes held until the service stops, so that nothing acknowledged lies between.
- A Redis without an append-only file writes its dump within that time: it would not do so at a stop unless it has save points.
- A proof that was cut off by the end of this process is not made up: what it would have said is told as unknown.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from . import command, path_amcheck, path_postgres, redis_keys
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .path_request import SURFACE, Request
from .postgres_client import Postgres, PostgresError
from .redis_hold import writes_held
from .redis_server import Login, Server

_MOST_KEYS = 500_000
_READ_S = 30.0
_PROOF_S = 600.0


class Proof:
    """What one service says of its own data. `password` is one that only the controller knows."""

    def __init__(self, engine: Engine, request: Request, password: str | None = None) -> None:
        self.engine, self.request, self.password = engine, request, password
        own = request.service
        self._kind, self._data, self._words = (own.kind, own.data, own.proof) if own is not None else (SURFACE, "", ())
        self._before: Any = None

    def refusals(self) -> list[str]:
        """Return what of the service itself speaks against a move."""
        kind, name = self._kind, self.request.container
        if kind == "postgres":
            return path_postgres.refuse(self._postgres, name, self._data)
        if kind == "redis":
            return self._of_redis()
        return []

    @contextmanager
    def held(self, wait_s: float) -> Iterator[None]:
        """Hold writes as long as the body runs, with all on disk that a start will read. Raises `FailedFault`, `OSError`."""
        kind = self._kind
        if kind == "postgres":
            with path_postgres.held(self._postgres) as self._before:
                yield
        elif kind == "redis":
            server = self._redis()
            with closing(server.redis):
                # While it serves: within the hold clients would wait for it.
                server.await_quiet(wait_s)
            server = self._redis()
            with closing(server.redis), writes_held(self._redis().redis):
                counted = redis_keys.counts(server.redis)
                few = sum(counted.values()) <= _MOST_KEYS
                self._before = (redis_keys.table(server.redis, limit_s=_READ_S) if few else None, counted)
                if server.redis.settings(["appendonly"])["appendonly"] != "yes":
                    server.await_saved(wait_s)
                else:
                    server.await_quiet(wait_s)
                yield
        else:
            self._before = self._said() if self._words else None
            yield

    def answers(self) -> bool:
        """Say whether a Redis can be asked now."""
        try:
            server = self._redis()
        except (FailedFault, RefusedFault, OSError):
            return False
        server.redis.close()
        return True

    def judged(self) -> dict[str, Any]:
        """Return how the data fare in the service that runs now; `lost` names what is not as it was. Raises `FailedFault`, `OSError`."""
        kind = self._kind
        if self._before is None:
            return {"unknown": "the run was cut off before its proof" if kind in ("postgres", "redis") or self._words else "no proof of its own"}
        if kind == "postgres":
            return self._checked(path_postgres.judged(self._postgres, self._before))
        if kind == "redis":
            table, counted = self._before
            server = self._redis()
            with closing(server.redis):
                fared = redis_keys.compared(table, counted, server.redis)
            named = fared.pop("names")
            return {"keys": sum(counted.values()), **fared, "lost": named[: fared["lost"]] or (["keys"] if fared["lost"] else [])}
        now = self._said()
        return {
            "output": "same" if now == self._before else "differs",
            "lost": [] if now == self._before else [f"the output of {self._words[0]}"],
        }

    def _checked(self, told: dict[str, Any]) -> dict[str, Any]:
        """Return what was told with what PostgreSQL's own check of its files says."""
        session = self._postgres("postgres")
        try:
            user = str(session.rows("SELECT current_user")[0][0])
        finally:
            session.close()
        came, corrupt = path_amcheck.checked(self.request.container, user)
        lost = [*told.get("lost", []), *([f"pg_amcheck: {corrupt}"] if corrupt is not None else [])]
        return {**told, "amcheck": came, "lost": lost}

    def _of_redis(self) -> list[str]:
        try:
            server = self._redis()
        except (OSError, FailedFault) as fault:
            return [str(fault)]
        with closing(server.redis):
            folder = server.redis.settings(["dir"])["dir"]
        if folder == self._data or folder.startswith(self._data.rstrip("/") + "/"):
            return []
        return [f"Redis keeps its data in {folder}, not in {self._data}: name that in the policy"]

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

    def _said(self) -> tuple[int, str]:
        said = command.run(["docker", "exec", self.request.container, *self._words], timeout_s=_PROOF_S)
        if said.code != 0:
            raise FailedFault(
                f"{self.request.container}: its proof {' '.join(self._words)} ended with {said.code}: {said.err.strip()[-300:] or said.out.strip()[-300:]}"
            )
        return said.code, said.out
