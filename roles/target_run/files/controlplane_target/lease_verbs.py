"""The verbs of `lease`: take, hold, release, show. `lease hold … -- COMMAND` runs a command under the lease."""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from . import lease
from .connection import while_read
from .faults import FailedFault, RefusedFault
from .state import Home
from .systemd import active


@contextmanager
def held(home: Home, options: argparse.Namespace) -> Iterator[None]:
    """Let the body change the host: nobody takes the lease meanwhile, it is renewed, and all of it ends once nobody reads the answer any more."""
    claim, host = _claim(options), os.uname().nodename
    with lease.holding(home, claim, now=time.time(), host=host, ttl_s=options.ttl) as lock:
        # What `command` and `hold` start inherits the lock: should this process be killed, nobody takes the lease before that has ended. What systemd
        # does for it is systemd's, and apt works in a unit that the lease knows.
        os.set_inheritable(lock, True)
        again = partial(lease.check, home, claim, host=host, ttl_s=options.ttl)
        with while_read(lambda: again(now=time.time()), options.ttl / 3):
            yield


def act(home: Home, options: argparse.Namespace) -> dict[str, Any] | int:
    """Carry out one of the verbs; `hold` returns the command's exit code, which speaks for itself."""
    host, now = os.uname().nodename, time.time()
    if options.action == "show":
        reason = lease.standing_in_the_way(home, options.run, options.holder, now=now, host=host, unit_active=active) if options.run else None
        if reason:
            raise RefusedFault(reason)
        return {"lease": lease.show(home)}
    if options.action == "take":
        known = {"role": options.role, "ttl_s": options.ttl, "take_over": options.take_over}
        return {"lease": lease.take(home, options.run, options.holder, **known, now=now, host=host, unit_active=active)}
    if options.action == "hold":
        with held(home, options):
            return _run(options.command)
    released = give_back(home, options)
    return {"released": released, "left": None if released else lease.left_of(home, _claim(options), unit_active=active)}


def give_back(home: Home, options: argparse.Namespace) -> bool:
    """Give back the lease of the claim; False where it is not held any more, or something of its run still works here."""
    return lease.release(home, _claim(options), unit_active=active)


def _claim(options: argparse.Namespace) -> lease.Claim:
    return lease.Claim(options.run, options.holder, options.token or 0)


def _run(command: list[str]) -> int:
    """Run a command; return its exit code as a shell would."""
    try:
        code = subprocess.run(command, check=False, close_fds=False).returncode
    except (OSError, IndexError) as fault:
        raise FailedFault(f"{' '.join(command) or 'no command'} could not be started: {fault}. Nothing was changed.") from fault
    return code if code >= 0 else 128 - code
