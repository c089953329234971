"""Where a run keeps what it knows on the target: `/var/lib/controlplane/<run>/state.json`, written atomically before each step.

Rules:
- A phase is written before the step that it names begins, so that whoever reads it after a crash knows the most that can have happened.
- Another program's keys in state.json are kept.
- All writers of the shared files (`lease.json`, `retired.json`, `last-change.json`) hold `lock`.
- What changes the host holds `changing`; who holds `lock` may ask for `quiet`, never the other way round with waiting.
"""

from __future__ import annotations

import calendar
import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from .faults import RefusedFault
from .files import read_json, write_json

BASE = Path("/var/lib/controlplane")
RUN_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def utc(epoch: float) -> str:
    """Return `epoch` seconds as UTC text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def boot_id() -> str:
    """Return the identity of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def epoch(text: str) -> float:
    """Return what `utc` wrote as epoch seconds. Raises `ValueError`."""
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file to lock; the kernel frees the lock when its holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked_at_once(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(path: Path, *, patience_s: float | None = None) -> Iterator[None]:
    with _opened(path) as descriptor:
        if patience_s is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            end = time.monotonic() + patience_s
            while not _locked_at_once(descriptor):
                if time.monotonic() >= end:
                    raise RefusedFault(f"another process on this host holds {path}: the same work runs already. Nothing was changed. Wait for it.")
                time.sleep(0.2)
        yield


class Home:
    """The shared folder and its runs; `base` differs from /var/lib/controlplane only in tests and dry runs."""

    def __init__(self, base: Path = BASE) -> None:
        self.base = base

    def run(self, key: str) -> Run:
        """Return the run of that key; a key that is no plain file name is refused."""
        if not RUN_KEY.fullmatch(key):
            raise RefusedFault(
                f"{key!r} is no run key. Nothing was changed. Use the key that the receipt names, such as CAP-20260101-000000__docker.data_root__R0001."
            )
        return Run(self, key)

    def runs(self) -> list[Run]:
        """Return the runs that left a state.json here, oldest key first."""
        if not self.base.is_dir():
            return []
        return [Run(self, path.name) for path in sorted(self.base.iterdir()) if (path / "state.json").is_file()]

    @contextmanager
    def lock(self, name: str = "shared", *, patience_s: float | None = None) -> Iterator[None]:
        """Hold one of the folder's locks; one that is held for longer than `patience_s` seconds is refused, and without that waited for."""
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self.base / f".{name}.lock", patience_s=patience_s):
            yield

    @contextmanager
    def lock_if_made(self, name: str, *, patience_s: float) -> Iterator[None]:
        """Hold one of the folder's locks where somebody held it before: who only looks leaves nothing behind, not even the lock's file."""
        with self.lock(name, patience_s=patience_s) if (self.base / f".{name}.lock").exists() else nullcontext():
            yield

    @contextmanager
    def changing(self) -> Iterator[int]:
        """Say to everybody, as long as the body runs, that this host is being changed; several may."""
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _opened(self.base / ".changing.lock") as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield descriptor

    @contextmanager
    def quiet(self) -> Iterator[bool]:
        """Say whether nothing changes this host, and then let nothing begin as long as the body runs; never waits."""
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _opened(self.base / ".changing.lock") as descriptor:
            yield _locked_at_once(descriptor)

    def retired(self) -> list[dict[str, Any]]:
        """Return the records of what earlier runs left behind on purpose."""
        held = read_json(self.base / "retired.json") or {"retired": []}
        return list(held["retired"])

    def write_retired(self, records: list[dict[str, Any]]) -> None:
        """Write those records; the caller holds the lock."""
        write_json(self.base / "retired.json", {"version": 1, "retired": sorted(records, key=lambda record: str(record["path"]))})

    def write_last_change(self, run: str, now: float) -> None:
        """Say that `run` changed this host's storage in this boot."""
        write_json(self.base / "last-change.json", {"run": run, "boot_id": boot_id(), "at": utc(now)})


class Run:
    """One run's folder and journal."""

    def __init__(self, home: Home, key: str) -> None:
        self.home = home
        self.key = key
        self.folder = home.base / key
        self.state: dict[str, Any] = read_json(self.folder / "state.json") or {"run": key, "role": None, "phase": "new", "unit": None}

    @property
    def phase(self) -> str:
        """The phase that the journal names."""
        return str(self.state["phase"])

    def write(self, **changes: Any) -> None:
        """Merge `changes` into the journal as it is on disk now, and write it durably: the unit, the poller and the lease all write here."""
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700, parents=True)
        with _locked(self.folder / ".state.lock"):
            self.reload()
            self.state = {**self.state, **changes}
            write_json(self.folder / "state.json", self.state)

    def reload(self) -> None:
        """Read the journal again: another process of the same run writes it, too."""
        self.state = read_json(self.folder / "state.json") or self.state
