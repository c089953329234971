"""wave status --watch on a terminal: it goes on by itself, ends with the wave or with Ctrl-C, and obeys nothing that a host said."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.cli import wave_status as view
from controlplane.usecases.show_waves import wave_status
from tests.fakes.waves import FakeWaveSite

ENDED = "2026-01-02T13:00:00Z"


def told(**other: Any) -> dict[str, Any]:
    site = FakeWaveSite().led()
    return {**wave_status("W1", site.site(), site.wave_ports), **other}


def watched(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], dict[str, Any]]) -> tuple[int, str]:
    """Watch on a terminal; return the exit code and what the terminal was given."""
    ours, theirs = os.openpty()
    given: list[bytes] = []

    def read() -> None:
        while True:
            try:
                given.append(os.read(ours, 65536))
            except OSError:
                return

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(view, "_EVERY_S", 0.0)
    try:
        with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as here:
            here.setattr("sys.stdout", terminal)
            code = view.watch_status(ask)
    finally:
        reader.join()
        os.close(ours)
    return code, b"".join(given).decode()


def test_the_view_follows_the_wave_and_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter([told(state="running"), told(state="changed"), told(state="closed", ended_at=ENDED)])
    code, text = watched(monkeypatch, lambda: next(states))
    # The last look is drawn once more as the view ends.
    assert (code, list(dict.fromkeys(re.findall(r"W1  (\w+)", text)))) == (0, ["running", "changed", "closed"])
    assert "Ctrl-C ends this view; nothing else." in text


def test_what_a_host_said_is_nothing_that_the_terminal_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = watched(monkeypatch, lambda: told(goal="moved\x1b]0;owned\x07", ended_at=ENDED))
    assert ("\x1b]" in text, "\x07" in text, "owned" in text) == (False, False, True)


def test_ctrl_c_ends_the_view_also_while_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [told()]

    def ask() -> dict[str, Any]:
        if not looks:
            raise KeyboardInterrupt
        return looks.pop()

    code, text = watched(monkeypatch, ask)
    assert (code, "W1  planned" in text) == (0, True)
