"""What a machine is born with and keeps: cloud-init reads it once, at the first boot. Its hypervisor shows a short digest of each part.

Rules:
- Digests alone are kept and told, no login's keys: who may look at a hypervisor need not know them.
- roles/vm_provision/module_utils/vm_provision_birth.py writes the same text; a test holds the two together.
"""

from __future__ import annotations

import hashlib
import json

from controlplane.domain.machines import BootDisk, DesiredMachine

_DIGITS = 16


def birth(machine: DesiredMachine, boot: BootDisk) -> str:
    """Return "part=digest" of each part, separated by blanks; a part is named as machines.yml names it."""
    parts = {
        "address": machine.address,
        "gateway": machine.gateway or "",
        "nameservers": list(machine.nameservers),
        "user": machine.profile.user,
        # What stands behind a key opens nothing, and their order neither.
        "ssh_keys": sorted(" ".join(key.split()[:2]) for key in machine.profile.ssh_keys),
        "boot.source": f"image {boot.image}" if boot.image else f"template {boot.template}",
        "boot.size": boot.size,
        "boot.storage": boot.storage,
    }
    return " ".join(f"{name}={_digest(value)}" for name, value in parts.items())


def born_otherwise(declared: str, shown: str) -> tuple[str, ...]:
    """Return the parts in which two such texts differ, in the order of the first."""
    known = dict(part.partition("=")[::2] for part in shown.split())
    return tuple(name for name, _, digest in (part.partition("=") for part in declared.split()) if known.get(name) != digest)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()[:_DIGITS]
