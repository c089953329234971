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
    """One process."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "tests.unit.adapters.coordination.crew"]
        self.process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(self, do: str, **given: Any) -> None:
        """Tell it what to do; it starts at once."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do} | given) + "\n")

    def answer(self) -> Any:
        """Return what came of it: a value, or `refused: …`."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, do: str, **given: Any) -> Any:
        """Tell, and return the answer."""
        self.tell(do, **given)
        return self.answer()


class Crew:
    """Several, who are told one after the other and work at once."""

    def __init__(self, count: int) -> None:
        self.members = [Member() for _ in range(count)]

    def ask(self, do: str, **given: Any) -> list[Any]:
        """Tell all the same, each with its own number as `holder`; return their answers."""
        for number, member in enumerate(self.members):
            member.tell(do, **{"holder": f"op{number}@controller{number}"} | given)
        return [member.answer() for member in self.members]

    def dismiss(self) -> None:
        """End them by closing what they listen to."""
        for member in self.members:
            assert member.process.stdin is not None
            member.process.stdin.close()
        for member in self.members:
            member.process.wait(timeout=30)


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

    def take(self, wave: str, holder: str, now: str, **_: Any) -> Any:
        held = self.store.take(wave, state="open", mutating=True, holder=holder, record={}, now=datetime.fromisoformat(now), ttl=timedelta(minutes=1))
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

    results = tuple(GateResult(check="D235", host=f"host{number}", verdict="MET", passed=True, reason="as declared") for number in range(20))
    hosts = {one.host: "sha256:0" for one in results}
    with open_store(store, Path(folder)) as opened:
        ours = {"state": "open", "mutating": True, "holder": "op@killed", "record": {}}
        held = opened.take("W-killed", **ours, now=now, ttl=timedelta(minutes=1))
        held = opened.renew(held, now=now, ttl=timedelta(minutes=1))
        opened.write(held, state="closed", record={}, now=now, ended=True)
        run = GateRun(run=f"RUN-{name}", at=stamp_of(now), pack="mint", policy="p", checker="c", hosts=hosts, results=results)
        opened.add_run(run, now=now)


def _ended(child: int) -> str:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {-signal.SIGKILL: "killed", 0: "came to its end"}.get(status, f"failed with {status}")


def main() -> None:
    """Do what each line says, until there is no more."""
    # Before the first line, so that what is told at once also starts at once.
    import controlplane.adapters.coordination  # noqa: F401
    from controlplane.domain.errors import ControlPlaneError

    work = Work()
    for line in sys.stdin:
        told = json.loads(line)
        try:
            answer = getattr(work, told.pop("do"))(**told)
        except ControlPlaneError as error:
            answer = f"{type(error).__name__}: {error}"
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
