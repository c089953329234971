"""The command line in this process: what one call of it printed, and its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from controlplane.cli.app import main


class Said(NamedTuple):
    """How one call ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Said]


def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what types a command line and hears the answer."""

    def call(*argv: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["controlplane", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return Said(int(end.value.code or 0), out, err)

    return call
