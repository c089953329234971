"""Run a program of the host and return what it said."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from .faults import FailedFault

# What an administrator installed comes last: for what a system brings, the system's own is meant. In a compose file a variable with one of these names
# has this value, whatever .env says: the controller refuses such a file (controlplane/domain/releases/compose_keys.py).
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin", "HOME": "/root", "LC_ALL": "C"}


class Said(NamedTuple):
    """A program's exit code, output and errors; bytes that are no UTF-8 come as surrogates."""

    code: int
    out: str
    err: str


def run(argv: Sequence[str], *, timeout_s: float | None = None) -> Said:
    """Run `argv` without input, in the C locale. Raises `FailedFault` where it can't be started or takes longer than `timeout_s`.

    It inherits the lease's lock, where this process holds that: should this process be killed, nobody takes the lease before the program has ended.
    """
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, check=False, close_fds=False, timeout=timeout_s)
    except OSError as fault:
        raise FailedFault(f"{argv[0]} can't be run: {fault.strerror or fault}") from fault
    except subprocess.TimeoutExpired as fault:
        raise FailedFault(f"{' '.join(argv)} did not end within {fault.timeout:g} s") from fault
    return Said(done.returncode, *(text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr)))
