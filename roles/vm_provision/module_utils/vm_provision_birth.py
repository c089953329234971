"""What a machine is born with and keeps, as a text for its mark: a short digest of each part. Pure.

Rules:
- cloud-init reads these things once. A machine that was begun with others is never finished as if it had been begun with the ones that are asked for.
- No key is part of it, only a digest. controlplane/domain/machine_birth.py makes the same text of what machines.yml says.
"""

from __future__ import annotations

import hashlib
import json

_DIGITS = 16


def birth(want):
    """Return "part=digest" of each part, separated by blanks."""
    address, boot = want["address"], want["boot"]
    parts = {
        "address": address["address"],
        "gateway": address["gateway"],
        "nameservers": list(address["nameservers"]),
        "user": want["user"],
        "ssh_keys": sorted(" ".join(key.split()[:2]) for key in want["ssh_keys"]),
        "boot.source": f"image {boot['image']}" if boot.get("image") else f"template {boot.get('template')}",
        "boot.size": boot["size"],
        "boot.storage": boot["storage"],
    }
    return " ".join(f"{name}={_digest(value)}" for name, value in parts.items())


def objection(want, shown):
    """Return why a half-made machine with this text in its mark is not the one that is asked for, empty where it is."""
    if not shown:
        return "its mark does not say what it was born with"
    known = dict(part.partition("=")[::2] for part in shown.split())
    told = [name for name, _, digest in (part.partition("=") for part in birth(want).split()) if known.get(name) != digest]
    return f"it was begun with another value of {', '.join(told)}" if told else ""


def _digest(value):
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()[:_DIGITS]
