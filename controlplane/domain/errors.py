"""The one tree of errors that a user sees; each says what, where and what to do next.

Rules:
- Anything raised outside this tree is a bug and shows its traceback (exit code 70).
- The exit code belongs to the class, so that a caller can't choose a wrong one.
- `InputInvalidError` carries every fault of an input at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, order=True)
class Fault:
    """One fault of an input: where (file, 1-based line, dotted field) and what to write instead."""

    file: str
    line: int
    field: str
    message: str

    def covered(self, covers: Callable[[str], str]) -> Fault:
        """Return it with its field and its message as `covers` shows them."""
        return replace(self, field=covers(self.field), message=covers(self.message))

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class ControlPlaneError(Exception):
    """Base of everything that is reported without a traceback."""

    exit_code = 1


class InputInvalidError(ControlPlaneError):
    """Input or usage is invalid; no connection was made."""

    exit_code = 2

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class RefusedError(ControlPlaneError):
    """A guard or a gate said no before anything was changed."""

    exit_code = 4


class UnknownError(ControlPlaneError):
    """Something could not be observed, so nothing was decided on it."""

    exit_code = 5


class RunFailedError(ControlPlaneError):
    """A run stopped half-way or did not keep its promise; the message says what state things are in."""

    exit_code = 1


class InterruptedRunError(ControlPlaneError):
    """The operator interrupted; what ran was stopped first and the message says how to go on."""

    exit_code = 130
