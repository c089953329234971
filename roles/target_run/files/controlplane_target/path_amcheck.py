"""PostgreSQL's own check of tables and indexes after a move: pg_amcheck, where the container has it and a database has its extension.

It reads while the service serves, as the user of the container whose the data are: `peer` lets that one in. What it can't do is told as not done, and is not
proven; only what it calls corrupt is a fault.
"""

from __future__ import annotations

from . import command
from .faults import FailedFault

_FIND = 'stat -L -c %u "$1"; for p in pg_amcheck /usr/lib/postgresql/*/bin/pg_amcheck /usr/local/bin/pg_amcheck; do command -v "$p" && exit 0; done; exit 1'
_LIMIT_S = 600.0
# pg_amcheck's own exit code.
_CORRUPT = 2
_NOT_INSTALLED = "amcheck is not installed"
_NOT_DONE = "not done"


def checked(container: str, user: str, directory: str) -> tuple[str, str | None]:
    """Return (what came of it, what is corrupt or None); `user` is the role that may log in, `directory` the server's own, in the container."""
    try:
        found = command.run(["docker", "exec", container, "sh", "-c", _FIND, "sh", directory], timeout_s=60)
        if found.code != 0 or not found.out.strip():
            return "not there", None
        *owner, program = found.out.split()
        # By his number: an image's user need not have a name.
        own = [f"--user={number}" for number in owner if number.isdigit()]
        argv = ["docker", "exec", *own, container, program, "--all", "--no-password", f"--username={user}"]
        said = command.run(argv, timeout_s=_LIMIT_S)
    except FailedFault as fault:
        return f"{_NOT_DONE}: {fault}", None
    if said.code == 0:
        return "passed", None
    told = " ".join((said.out + " " + said.err).split())
    if said.code == _CORRUPT:
        return "corrupt", told[:300]
    if _NOT_INSTALLED in told:
        return "the extension is in no database", None
    return f"{_NOT_DONE}: {told[-200:] or f'exit {said.code}'}", None


def left(came: str) -> list[str]:
    """Return in words what of the check is not proven, by what came of it: one that could not be done, where there is one."""
    return [f"pg_amcheck, PostgreSQL's own check of its files ({came})"] if came.startswith(_NOT_DONE) else []
