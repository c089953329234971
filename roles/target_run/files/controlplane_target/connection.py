"""Work as long as somebody waits for the answer, and no longer.

A command over ssh without a terminal outlives its connection: Ctrl-C, or a line that was cut, would leave a change to itself. Here whoever is gone
closes the output, and that ends the work, with the signal that a terminal would have sent. Long work that has to go on is a transient unit.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_OUTPUT = 1
_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


@contextmanager
def while_read(renew: Callable[[], object], every_s: float) -> Iterator[None]:
    """End this process and what it started once nobody reads its output any more; `renew` is called every so often meanwhile."""
    # As it is by default: who was started by nohup would pass on that it is ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Elsewhere there is nobody who could be gone: a terminal sends the signal by itself, and Ctrl-C to those of its own group only.
    if _is_read():
        # A group of its own, so that the signal reaches what was started here and nothing else. Who leads a session leads its group already.
        with suppress(PermissionError):
            os.setpgid(0, 0)
    over, end = os.pipe()
    watcher = threading.Thread(target=_watch, args=(over, renew, every_s), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        os.close(end)
        watcher.join()
        os.close(over)


def _is_read() -> bool:
    """Say whether the output goes to somebody: through a pipe or a socket, as over ssh and from Ansible."""
    mode = os.fstat(_OUTPUT).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _watch(over: int, renew: Callable[[], object], every_s: float) -> None:
    poll = select.poll()
    if _is_read():
        poll.register(_OUTPUT, 0)
    poll.register(over, select.POLLIN)
    while True:
        seen = dict(poll.poll(every_s * 1000))
        if over in seen:
            return
        if seen.get(_OUTPUT, 0) & _GONE:
            os.killpg(0, signal.SIGHUP)
            return
        # A disk without room, or a lease that was taken away or broken by hand, ends no change that works, and no watch.
        with suppress(Exception):
            renew()
