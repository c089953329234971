"""Long work shows on a terminal that it goes on; a pipe gets the result alone."""

from __future__ import annotations

import os
import pty
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.cli import main
from tests.fakes.evidence_builder import EvidenceBuilder
from tests.fakes.forked import forked

VERBS = pytest.mark.parametrize("verb", [("evidence",), ("policy", "suggest"), ("audit",)])


class Slow:
    """Takes its time, so that what is drawn a dozen times a second is seen."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def collect(self, *_: object, **__: object) -> dict[str, object]:
        time.sleep(self.seconds)
        return {"local": EvidenceBuilder().build("local")}


def typed(verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, seconds: float) -> Callable[[], object]:
    """Return what runs a verb whose evidence takes so long."""
    monkeypatch.setattr(wiring, "evidence_source", lambda *_: Slow(seconds))
    monkeypatch.setattr(sys, "argv", ["controlplane", *verb, "--target", "local", "-o", "json"])
    monkeypatch.setenv("TERM", "xterm")
    return main


@VERBS
def test_on_a_terminal_a_verb_that_collects_shows_that_it_works(verb: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    master, terminal = pty.openpty()
    with (tmp_path / "out").open("wb") as result:
        process = forked(typed(verb, monkeypatch, 0.3), stdout=result.fileno(), stderr=terminal)
        os.close(terminal)
        shown = read_all(master)
        process.join()
    out = (tmp_path / "out").read_bytes()
    assert b"collecting evidence" in shown
    assert b"collecting evidence" not in out
    assert out.startswith(b"{")


@VERBS
def test_into_a_pipe_it_shows_nothing_but_its_result(verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    (out, into), (err, told) = os.pipe(), os.pipe()
    process = forked(typed(verb, monkeypatch, 0.1), stdout=into, stderr=told)
    os.close(into)
    os.close(told)
    shown, said = read_all(out), read_all(err)
    process.join()
    assert b"collecting evidence" not in shown + said
    assert b"\x1b" not in shown + said
    assert shown.startswith(b"{")


def read_all(master: int) -> bytes:
    """Return all that is written to the terminal until its last writer closes it."""
    found = b""
    try:
        while block := os.read(master, 4096):
            found += block
    except OSError:  # Linux says "input/output error" where others say that this is the end
        pass
    finally:
        os.close(master)
    return found
