"""Where the lab keeps its files, and how it names what it makes on the host."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane.domain.errors import Fault, InputInvalidError

DEFAULT_HOME = Path("/var/lib/controlplane-lab")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_TEST_NAME = re.compile(r"t-(\d+)-\d+")


def of_live_test(name: str) -> bool:
    """Say whether a machine belongs to a test run that still goes on: such machines are named t-PID-NUMBER."""
    return bool((own := _TEST_NAME.fullmatch(name)) and Path(f"/proc/{own[1]}").exists())


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class LabHome:
    """The lab's folder; everything that it makes on the host carries `tag`, so that two labs never touch each other."""

    path: Path

    @classmethod
    def from_environment(cls) -> LabHome:
        """Return the folder that $CONTROLPLANE_LAB names, or the default one."""
        return cls(Path(os.environ.get("CONTROLPLANE_LAB") or DEFAULT_HOME).resolve())

    @property
    def tag(self) -> str:
        return "cplab-" + hashlib.sha256(str(self.path).encode()).hexdigest()[:4]

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    @property
    def machines(self) -> Path:
        return self.path / "machines"

    @property
    def ssh_config(self) -> Path:
        return self.path / "ssh_config"

    @property
    def key(self) -> Path:
        return self.path / "id_ed25519"

    def machine(self, name: str) -> MachineFiles:
        """Return the files of one machine; a name that isn't one is an input error."""
        if not _NAME.fullmatch(name):
            message = "a lab machine's name is [a-z0-9][a-z0-9-]*, at most 41 characters"
            raise InputInvalidError([Fault(file="command line", line=0, field=repr(name), message=message)])
        return MachineFiles(name, self.machines / name, f"{self.tag}-{name}")

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold the lab's lock `what`, waiting for whoever holds it; a dead holder frees it."""
        file = self.path / "locks" / what
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        while True:
            with file.open("w") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                # Whoever held it before may have thrown it away.
                if _is_at(file, handle.fileno()):
                    yield
                    return

    def forget_lock(self, what: str) -> None:
        """Throw away the lock `what` as the last thing that is done under it: nothing is left that it could be about."""
        (self.path / "locks" / what).unlink(missing_ok=True)


@dataclass(frozen=True)
class MachineFiles:
    """One machine's files, and the name of its network namespace and cgroups (`namespace`)."""

    name: str
    path: Path
    namespace: str

    @property
    def boot(self) -> Path:
        return self.path / "boot.img"

    @property
    def data(self) -> Path:
        return self.path / "data.img"

    @property
    def foreign(self) -> Path:
        return self.path / "foreign.img"

    @property
    def root(self) -> Path:
        return self.path / "root"

    @property
    def personal(self) -> Path:
        return self.path / "personal"

    @property
    def console(self) -> Path:
        return self.path / "console.log"

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def record(self) -> Path:
        return self.path / "record.json"

    @property
    def namespace_path(self) -> Path:
        return Path("/run/netns") / self.namespace
