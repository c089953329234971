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


def _long(packs: int) -> dict[str, Any]:
    ran = [{"passed": True, "run": f"CAP-{number:02}", "after": "mint-data/010", "reason": "as declared " * 12} for number in range(packs)]
    record = {"packs": ran, "carved": [{"host": "mint-apps", "reason": "its step failed"}]}
    return told(record=record, next="controlplane wave run W1", ended_at=ENDED)


def test_what_is_newest_and_what_to_type_next_stays_on_a_terminal_that_is_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "20")
    _, text = watched(monkeypatch, lambda: _long(30))
    assert "..." not in text
    for shown in ("W1  planned", "goal  ", "lines left out for want of room", "CAP-29", "carved    mint-apps", "Next: ", "Ctrl-C ends this view"):
        assert shown in text, shown
    assert ("CAP-00" in text, text.index("CAP-29") < text.index("carved") < text.index("Next: ")) == (False, True)
    monkeypatch.setenv("LINES", "200")
    _, text = watched(monkeypatch, lambda: _long(30))
    assert ("CAP-00" in text, "left out" in text) == (True, False)


@pytest.mark.parametrize("height", range(2, 40))
def test_what_is_shown_never_takes_more_rows_than_there_are(height: int) -> None:
    head, body = ["W1", "goal", "changes"], [*(f"pack {number}" for number in range(20)), "Next", "", "Ctrl-C"]
    lines = view.fitted(head, body, rows=lambda line: 2 if line.startswith("pack") else 1, height=height)
    assert sum(2 if line.startswith("pack") else 1 for line in lines) <= height
    assert (lines[0], lines[-1]) == ("W1", "Ctrl-C")
    if height >= 5:
        assert "Next" in lines
    if height >= 7:
        assert lines[:3] == head


def test_a_wave_of_which_nothing_came_shows_what_it_is_for() -> None:
    head, body = ["W1", "goal", "changes", "looks at"], ["", "Ctrl-C"]
    assert view.fitted(head, body, rows=lambda _: 1, height=40) == [*head, *body]
    assert view.fitted(head, body, rows=lambda _: 1, height=5) == ["W1", *body]
