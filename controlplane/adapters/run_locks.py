"""One run at a time for each host: `<site>/state/locks/<host>.lock`, held as long as the program lives.

The target's lease keeps other controllers out; this keeps a twin of the same run out, which would take the lease from the first.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC
from pathlib import Path

from controlplane.domain.digest import digest_of_bytes
from controlplane.domain.errors import RefusedError
from controlplane.ports.clocks import Clock


class HostLocks:
    """Locks in one folder; the kernel lets go of them when their holder dies."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    @property
    def place(self) -> str:
        """Return which folder it is, whichever way leads there: short, and without the characters that a path may have and a store not."""
        return digest_of_bytes(os.fsencode(self._folder.resolve())).removeprefix("sha256:")[:16]

    @contextmanager
    def hold(self, hosts: Sequence[str], *, operator: str) -> Iterator[None]:
        """Hold the hosts' locks. Raises `RefusedError`, naming host, holder and since when."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as held:
            for host in sorted(set(hosts)):
                self._take(host, operator, held)
            yield

    def _take(self, host: str, operator: str, held: ExitStack) -> None:
        handle = os.open(self._folder / f"{host}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        held.callback(os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.read(handle, 500).decode(errors="replace").strip() or "another run"
            raise RefusedError(f"{host} is being changed by {told}. Nothing was changed. Wait for it; 'controlplane runs list' shows it.") from None
        since = self._clock.now().astimezone(UTC).isoformat(timespec="seconds")
        os.ftruncate(handle, 0)
        os.write(handle, f"{operator}, process {os.getpid()}, since {since}\n".encode())
