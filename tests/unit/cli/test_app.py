"""How the root command ends: exit codes of errors, and what is said of a bug."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from controlplane import __version__, wiring
from controlplane.cli.app import main
from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RefusedError, RunFailedError, UnknownError

End = Callable[[Exception], tuple[int | str | None, str, str]]


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> End:
    """Run a verb that raises the error; return exit code, output and messages."""

    def call(error: Exception) -> tuple[int | str | None, str, str]:
        def raising(*_: object) -> None:
            raise error

        monkeypatch.setattr(wiring, "evidence_source", raising)
        monkeypatch.setattr(sys, "argv", ["controlplane", "evidence", "--target", "local", "-o", "json"])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return call


def test_a_bug_ends_with_70_its_traceback_and_what_to_do(end: End) -> None:
    code, out, err = end(KeyError("of nobody's making"))

    assert (code, out) == (70, "")
    lines = err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2] == 'KeyError: "of nobody\'s making"'
    assert lines[-1] == (
        f"This is a bug in controlplane {__version__}; please report it with the lines above. "
        "What was begun is on record. Next: controlplane runs list    (says what is open and which command goes on)"
    )


@pytest.mark.parametrize(("kind", "code"), [(RunFailedError, 1), (RefusedError, 4), (UnknownError, 5), (InterruptedRunError, 130)])
def test_an_error_that_is_no_bug_is_one_message_and_its_own_exit_code(end: End, kind: type[ControlPlaneError], code: int) -> None:
    assert end(kind("mint-data is out. Nothing was changed.")) == (code, "", "mint-data is out. Nothing was changed.\n")
