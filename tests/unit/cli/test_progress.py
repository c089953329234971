"""Long work shows on a terminal that it goes on; a pipe gets the result alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# Takes long enough for the spinner, which is drawn a dozen times a second, to be seen.
PROGRAM = """
import time
from controlplane import wiring
from controlplane.cli import main
from tests.fakes.evidence_builder import EvidenceBuilder

class Slow:
    def collect(self, hosts, desired, *, only=()):
        time.sleep(0.5)
        return {"local": EvidenceBuilder().build("local")}

wiring.evidence_source = lambda *_: Slow()
main()
"""
VERBS = pytest.mark.parametrize("verb", [("evidence",), ("policy", "suggest"), ("audit",)])


def argv(verb: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *verb, "--target", "local", "-o", "json"]


@VERBS
def test_on_a_terminal_a_verb_that_collects_shows_that_it_works(verb: tuple[str, ...], tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    with (
        (tmp_path / "out").open("wb") as result,
        subprocess.Popen(argv(verb), cwd=ROOT, stdout=result, stderr=terminal, env={**os.environ, "TERM": "xterm"}),
    ):
        os.close(terminal)
        shown = read_all(master)
    out = (tmp_path / "out").read_bytes()
    assert b"collecting evidence" in shown
    assert b"collecting evidence" not in out
    assert out.startswith(b"{")


@VERBS
def test_into_a_pipe_it_shows_nothing_but_its_result(verb: tuple[str, ...]) -> None:
    done = subprocess.run(argv(verb), cwd=ROOT, capture_output=True, check=False)
    assert b"collecting evidence" not in done.stdout + done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert done.stdout.startswith(b"{")


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
