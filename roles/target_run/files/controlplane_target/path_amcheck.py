"""PostgreSQL's own check of tables and indexes after a move: pg_amcheck, where the container has it and a database has its extension.

It reads while the service serves. What it can't do is told as not done; only what it calls corrupt is a fault.
"""

from __future__ import annotations

from . import command
from .faults import FailedFault

_FIND = 'for p in pg_amcheck /usr/lib/postgresql/*/bin/pg_amcheck /usr/local/bin/pg_amcheck; do command -v "$p" && exit 0; done; exit 1'
_LIMIT_S = 600.0
# pg_amcheck's own exit code.
_CORRUPT = 2
_NOT_INSTALLED = "amcheck is not installed"


def checked(container: str, user: str) -> tuple[str, str | None]:
    """Return (what came of it, what is corrupt or None)."""
    try:
        found = command.run(["docker", "exec", container, "sh", "-c", _FIND], timeout_s=60)
        if found.code != 0 or not found.out.strip():
            return "not there", None
        argv = ["docker", "exec", container, found.out.split()[0], "--all", "--no-password", f"--username={user}"]
        said = command.run(argv, timeout_s=_LIMIT_S)
    except FailedFault as fault:
        return f"not done: {fault}", None
    if said.code == 0:
        return "passed", None
    told = " ".join((said.out + " " + said.err).split())
    if said.code == _CORRUPT:
        return "corrupt", told[:300]
    if _NOT_INSTALLED in told:
        return "the extension is in no database", None
    return f"not done: {told[-200:] or f'exit {said.code}'}", None
