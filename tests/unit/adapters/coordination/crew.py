"""Processes of their own that use a store: told in lines of JSON, answering in lines of JSON. Run as a module, this is one of them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[4]


class Member:
    """One process, by the ends of its two pipes; its first line is its id."""

    def __init__(self, told: int, says: int) -> None:
        self._told, self._says = os.fdopen(told, "w", buffering=1), os.fdopen(says)
        self.pid: int = self.answer()

    def tell(self, do: str, **given: Any) -> None:
        """Tell it what to do; it starts at once."""
        self._told.write(json.dumps({"do": do} | given) + "\n")

    def answer(self) -> Any:
        """Return what came of it: a value, or the error's class and message."""
        return json.loads(self._says.readline())

    def ask(self, do: str, **given: Any) -> Any:
        """Tell, and return the answer."""
        self.tell(do, **given)
        return self.answer()

    def dismiss(self) -> None:
        """Let it end, by closing what it listens to."""
        self._told.close()
        self._says.close()


class Crew:
    """Several, who are told one after the other and work at once. One is started and forks the others, before any of them opened a store."""

    def __init__(self, count: int) -> None:
        told, says = [os.pipe() for _ in range(count)], [os.pipe() for _ in range(count)]
        theirs = [end for (listen, _), (_, speak) in zip(told, says, strict=True) for end in (listen, speak)]
        words = [sys.executable, "-m", "tests.unit.adapters.coordination.crew", *map(str, theirs)]
        self._first = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=theirs)
        for end in theirs:
            os.close(end)
        self.members = [Member(speak, listen) for (_, speak), (listen, _) in zip(told, says, strict=True)]

    def ask(self, do: str, **given: Any) -> list[Any]:
        """Tell all the same, each as another holder; return their answers."""
        for number, member in enumerate(self.members):
            member.tell(do, **{"holder": f"op{number}@controller{number}"} | given)
        return [member.answer() for member in self.members]

    def dismiss(self) -> None:
        """Let them end, the first after all others."""
        for member in self.members:
            member.dismiss()
        self._first.wait(timeout=30)


class Work:
    """What a process can be told to do; method names are the words."""

    def __init__(self) -> None:
        self.store: Any = None

    def open(self, store: str, folder: str, **_: Any) -> str:
        from controlplane.adapters.coordination import open_store

        if self.store is not None:
            self.store.close()
        self.store = open_store(store, Path(folder))
        return "opened"

    def take(self, wave: str, holder: str, now: str, anew: bool = False, **_: Any) -> Any:
        said: dict[str, Any] = {"state": "open", "mutating": True, "holder": holder, "record": {}}
        held = self.store.take(wave, **said, now=datetime.fromisoformat(now), ttl=timedelta(minutes=1), anew=anew)
        return held.model_dump()

    def write(self, held: dict[str, Any], now: str, ended: bool = False, **_: Any) -> Any:
        from controlplane.domain.coordination import WaveHeld

        mine = WaveHeld(**held)
        return self.store.write(mine, state="applied", record={"by": mine.holder}, now=datetime.fromisoformat(now), ended=ended).model_dump()

    def renew(self, held: dict[str, Any], now: str, **_: Any) -> Any:
        from controlplane.domain.coordination import WaveHeld

        return self.store.renew(WaveHeld(**held), now=datetime.fromisoformat(now), ttl=timedelta(minutes=1)).model_dump()

    def die_at(self, store: str, folder: str, now: str, statement: int, opening: bool, **_: Any) -> str:
        """Return how a child ended that opens the store, or does everything there is, and is killed before its n-th statement or commit."""

        def live() -> None:
            _killed_at(statement)
            if opening:
                _open(store, folder)
            else:
                _everything(store, folder, datetime.fromisoformat(now), "1")

        return _ended(_child(live))

    def die_after(self, store: str, folder: str, now: str, seed: int, **_: Any) -> str:
        """Return how a child ended that did everything there is over and over, until it was killed at a moment that the seed chose."""

        def live() -> None:
            for round_number in range(10_000):
                _everything(store, folder, datetime.fromisoformat(now), f"{seed}.{round_number}")

        child = _child(live)
        time.sleep(random.Random(seed).uniform(0.005, 0.15))  # noqa: S311 - the seed is the case
        os.kill(child, signal.SIGKILL)
        return _ended(child)


def _child(live: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            live()
            status = 0
        finally:
            os._exit(status)
    return child


def _killed_at(statement: int) -> None:
    from sqlalchemy import Engine, event

    left = [statement]

    def count(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)


def _open(store: str, folder: str) -> None:
    from controlplane.adapters.coordination import open_store

    open_store(store, Path(folder)).close()


def _everything(store: str, folder: str, now: datetime, name: str) -> None:
    from controlplane.adapters.coordination import open_store
    from controlplane.domain.coordination import GateResult, GateRun, stamp_of

    results = tuple(
        GateResult(check="D235", host=f"host{number}", checker="c", verdict="MET", passed=True, reason="as declared") for number in range(20)
    )
    hosts = {one.host: "sha256:0" for one in results}
    with open_store(store, Path(folder)) as opened:
        ours = {"state": "open", "mutating": True, "holder": "op@killed", "record": {}}
        held = opened.take("W-killed", **ours, now=now, ttl=timedelta(minutes=1))
        held = opened.renew(held, now=now, ttl=timedelta(minutes=1))
        opened.write(held, state="closed", record={}, now=now, ended=True)
        run = GateRun(run=f"RUN-{name}", at=stamp_of(now), pack="mint", policy="p", hosts=hosts, results=results)
        opened.add_run(run, now=now)


def _ended(child: int) -> str:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {-signal.SIGKILL: "killed", 0: "came to its end"}.get(status, f"failed with {status}")


def main(ends: list[int]) -> None:
    """Become as many processes as there are pairs of ends; each does what each line says, until there is no more."""
    import controlplane.adapters.coordination  # noqa: F401 - before the first line, so that what is told at once also starts at once

    pairs = list(zip(ends[::2], ends[1::2], strict=True))
    for mine in pairs[1:]:
        if os.fork() == 0:
            _serve(mine, pairs)
            os._exit(0)
    _serve(pairs[0], pairs)
    for _ in pairs[1:]:
        os.wait()


def _serve(mine: tuple[int, int], pairs: list[tuple[int, int]]) -> None:
    from controlplane.domain.errors import ControlPlaneError

    work = Work()
    for end in (end for pair in pairs if pair != mine for end in pair):
        os.close(end)
    with os.fdopen(mine[0]) as told, os.fdopen(mine[1], "w", buffering=1) as says:
        says.write(f"{os.getpid()}\n")
        for line in told:
            given = json.loads(line)
            try:
                answer = getattr(work, given.pop("do"))(**given)
            except ControlPlaneError as error:
                answer = f"{type(error).__name__}: {error}"
            says.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
