"""What the stand-in for a Proxmox VE cluster is made of: nodes, storages, volumes, virtual machines, what a guest answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.proxmox.replies import died
from tests.fakes.proxmox.tasks import Task

GIB = 1024**3


@dataclass
class Volume:
    """One volume of a storage; `owner` is the machine that it belongs to, `data` what a snippet or an uploaded file holds."""

    size: int
    content: str = "images"
    owner: int | None = None
    format: str = "raw"
    data: bytes = b""


@dataclass
class Storage:
    """A storage; thick ones (lvm, zfspool) take a volume's whole size at once, thin ones (lvmthin, dir) take none and may be over-promised."""

    name: str
    kind: str
    total: int
    content: tuple[str, ...] = ("images",)
    volumes: dict[str, Volume] = field(default_factory=dict)
    occupied: int = 0

    @property
    def thick(self) -> bool:
        return self.kind in ("lvm", "zfspool")

    @property
    def used(self) -> int:
        return self.occupied + (sum(volume.size for volume in self.volumes.values()) if self.thick else 0)

    @property
    def free(self) -> int:
        return self.total - self.used


@dataclass
class Guest:
    """What runs inside a machine; its agent answers once that many calls have come in since the start."""

    agent_after: int = 0
    files: dict[str, str] = field(default_factory=dict)
    interfaces: list[dict[str, object]] = field(default_factory=list)
    commands: dict[tuple[str, ...], tuple[int, str]] = field(default_factory=dict)
    ended: dict[int, tuple[int, str]] = field(default_factory=dict)
    calls_since_start: int = 0


@dataclass
class Vm:
    """A virtual machine: its configuration as text by key, what is pending, and whether it runs."""

    vmid: int
    node: str
    config: dict[str, str]
    pending: dict[str, str] = field(default_factory=dict)
    pending_delete: set[str] = field(default_factory=set)
    running: bool = False
    guest: Guest = field(default_factory=Guest)
    cloudinit: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The SHA-1 of the configuration file, pending changes included."""
        lines = [f"{key}: {value}" for key, value in sorted(self.config.items())]
        lines += ["[PENDING]", *(f"{key}: {value}" for key, value in sorted(self.pending.items())), *sorted(self.pending_delete)]
        return hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()

    def check_lock(self) -> None:
        """Refuse while something holds the machine's lock."""
        if "lock" in self.config:
            raise died(f"VM is locked ({self.config['lock']})")

    def check_digest(self, given: str | None) -> None:
        """Refuse where the caller has seen another configuration."""
        if given and given != self.digest:
            raise died("checksum mismatch (file change by other user?)")


@dataclass
class World:
    """Everything that calls look at and change; tests set it up and look at it afterwards."""

    version: str = "9.1.4"
    nodes: tuple[str, ...] = ("pve",)
    bridges: tuple[str, ...] = ("vmbr0",)
    storages: dict[str, Storage] = field(default_factory=dict)
    vms: dict[int, Vm] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    # How many calls a task outlives, by its kind (qmcreate, qmclone, qmconfig, resize, qmstart, …); None never ends.
    task_lasts: dict[str, int | None] = field(default_factory=dict)
    # What a task of that kind dies of, whatever it would have done.
    task_fails: dict[str, str] = field(default_factory=dict)
    # Machines whose removal a test expects; any other DELETE is refused and recorded like every call.
    may_remove: set[int] = field(default_factory=set)
    may_remove_volumes: set[str] = field(default_factory=set)
    # Uploads between their arrival and the end of their task, by the name of the server's temporary file.
    arrived: dict[str, bytes] = field(default_factory=dict)
    on_start: Callable[[Vm], None] = lambda _vm: None

    def storage(self, name: str) -> Storage:
        """Return a storage or refuse as the server does."""
        if name not in self.storages:
            raise died(f"storage '{name}' does not exist")
        return self.storages[name]

    def vm(self, node: str, vmid: str | int) -> Vm:
        """Return a machine of a node or refuse as the server does."""
        self.check_node(node)
        found = self.vms.get(int(vmid))
        if found is None or found.node != node:
            raise died(f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
        return found

    def check_node(self, node: str) -> None:
        """Refuse a node that is not in the cluster."""
        if node not in self.nodes:
            raise died(f"hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known")
