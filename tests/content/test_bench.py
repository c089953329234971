"""The bench tells what it measured, what it left out and why, and fails where a limit is not kept."""

from __future__ import annotations

import inspect
import types
from importlib import import_module

import pytest

from bench import __main__ as bench
from bench.rows import BenchError, Row, Skipped, in_turn


def made_of(monkeypatch: pytest.MonkeyPatch, *rows: Row | Skipped | Exception) -> None:
    """Let the bench consist of one part that gives these rows, or raises."""
    part = types.ModuleType("bench.made_up")

    def measure(*, quick: bool) -> list[Row | Skipped]:  # noqa: ARG001 - every part is asked this way
        for row in rows:
            if isinstance(row, Exception):
                raise row
        return [row for row in rows if not isinstance(row, Exception)]

    part.measure = measure  # type: ignore[attr-defined] # a module made at run time
    monkeypatch.setitem(__import__("sys").modules, "bench.made_up", part)
    monkeypatch.setattr(bench, "BENCHES", {"made-up": "bench.made_up"})


@pytest.mark.parametrize("module", bench.BENCHES.values())
def test_every_part_can_be_looked_at_quickly(module: str) -> None:
    assert list(inspect.signature(import_module(module).measure).parameters) == ["quick"]


def test_a_kept_limit_ends_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made_of(monkeypatch, Row("ours", 1.0, "theirs", 2.0, 0.6))
    assert bench.main([]) == 0
    assert "0.50x" in capsys.readouterr().out


def test_a_limit_that_is_not_kept_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made_of(monkeypatch, Row("ours", 1.3, "theirs", 2.0, 0.6))
    assert bench.main([]) == 1
    assert "OVER" in capsys.readouterr().out


def test_what_cannot_run_here_is_said_and_does_not_fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made_of(monkeypatch, Skipped("a move", "it needs root"))
    assert bench.main([]) == 0
    assert capsys.readouterr().out == "skipped: a move: it needs root\n"


def test_a_command_that_went_wrong_fails_and_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made_of(monkeypatch, BenchError("setup did not reach every host"))
    assert bench.main([]) == 1
    assert capsys.readouterr().out == "failed: made-up: setup did not reach every host\n"


def test_what_is_compared_takes_turns() -> None:
    order: list[str] = []
    in_turn(2, lambda: order.append("ours"), lambda: order.append("theirs"))
    assert order == ["ours", "theirs", "ours", "theirs"]
