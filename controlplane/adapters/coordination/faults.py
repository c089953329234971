"""Say what a database that can't be used means, once for both engines."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from controlplane.domain.errors import ControlPlaneError, RefusedError, RunFailedError, UnknownError

_DAMAGED = ("malformed", "not a database")
_NO_RIGHTS, _LOCKED = "42501", "55P03"


@contextmanager
def told(name: str, *, committing: bool = False) -> Iterator[None]:
    """Turn the driver's errors into the program's. One that is a fault of this program's SQL passes as it is."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError) as error:
        raised = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        found = _fault(name, raised, committing=committing)
        if found is None:
            raise
        raise found from None


def _fault(name: str, error: BaseException, *, committing: bool) -> ControlPlaneError | None:
    kind, state = type(error).__name__, getattr(error, "sqlstate", None)
    line = (getattr(error, "strerror", None) or str(error)).strip().partition("\n")[0]
    if kind in ("IntegrityError", "DataError", "NotSupportedError", "InterfaceError") or (kind == "ProgrammingError" and state is None):
        return None
    if isinstance(error, sqlite3.DatabaseError) and any(word in line for word in _DAMAGED):
        return RunFailedError(f"{name} is damaged: {line}. Nothing was changed. Put the last good copy of it back in its place.")
    if state == _LOCKED or (isinstance(error, sqlite3.OperationalError) and "locked" in line):
        return RefusedError(f"{name} is busy: another process has been writing to it all the time. Nothing was changed. Try it again.")
    if committing:
        return RunFailedError(
            f"{name} failed while it wrote: {line}. Whether that is written is not known. Run the same command again: it looks first."
        )
    if _is_a_bug(error, state):
        return None
    return UnknownError(f"{name} can't be used: {line}. Nothing was changed. Mend that, then run the same command again.")


def _is_a_bug(error: BaseException, state: str | None) -> bool:
    """Say whether SQL of this program was wrong: class 42 of SQLSTATE but for missing rights; SQLite has no other word than its message."""
    if state is not None:
        return state.startswith("42") and state != _NO_RIGHTS
    return isinstance(error, sqlite3.OperationalError) and ("no such " in str(error) or "syntax error" in str(error))
