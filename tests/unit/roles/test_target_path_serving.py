"""Since when a store that was started can be asked: it runs before, and reads its log."""

from __future__ import annotations

import time
from typing import Any

import pytest
from controlplane_target.faults import FailedFault
from controlplane_target.path_proof import Proof
from controlplane_target.path_request import parse
from controlplane_target.postgres_client import PostgresError
from controlplane_target.redis_client import LoginError

STARTING = PostgresError("PostgreSQL: the database system is starting up", "57P03")


class Session:
    def close(self) -> None:
        pass


class Engine:
    """One container."""

    def __init__(self, *, running: bool = True) -> None:
        self.running = running

    def call(self, *_: Any, **__: Any) -> tuple[int, Any]:
        return 200, {"State": {"Running": self.running}}


def proof(monkeypatch: pytest.MonkeyPatch, *said: Any, kind: str = "postgres", running: bool = True) -> Proof:
    """Return the proof of a store that says this in turn, and the last of it from then on."""
    request = parse({"container": "db", "answer_s": 1, "paths": [{"kind": kind, "data": "/data", "place": "/mnt/data/db"}]})
    held, left = Proof(Engine(running=running), request), list(said)  # type: ignore[arg-type]

    def asked(*_: Any) -> Any:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(held, "_postgres", asked)
    monkeypatch.setattr(held, "_redis", asked)
    return held


def test_its_first_answer_is_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time()
    at = proof(monkeypatch, OSError("no socket"), STARTING, STARTING, Session()).answered_at(30)
    assert at is not None
    assert at >= before + 0.14


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        pytest.param("postgres", PostgresError("PostgreSQL: role does not exist", "28000"), id="it lets nobody in"),
        pytest.param("redis", LoginError("password"), id="its password is on the controller alone"),
        pytest.param("files", FailedFault("never asked"), id="nobody can ask it"),
    ],
)
def test_one_that_tells_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, kind: str, said: Exception) -> None:
    began = time.monotonic()
    assert proof(monkeypatch, said, kind=kind).answered_at(60) is None
    assert time.monotonic() - began < 20


def test_one_that_does_not_run_is_not_waited_for_and_one_that_starts_is_for_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    assert proof(monkeypatch, STARTING, running=False).answered_at(60) is None
    assert time.monotonic() - began < 20
    began = time.monotonic()
    assert proof(monkeypatch, STARTING).answered_at(0.3) is None
    assert time.monotonic() - began >= 0.3
