"""One network namespace a machine: it has no address but its own loopback, and is reached by entering it."""

from __future__ import annotations

from pathlib import Path

from .programs import run, succeeds

NAMESPACES = Path("/run/netns")


def ensure(name: str) -> None:
    """Make the namespace where it isn't there and raise its loopback."""
    if name not in present(name):
        run(["ip", "netns", "add", name])
    run(["ip", "-n", name, "link", "set", "lo", "up"])


def present(prefix: str) -> list[str]:
    """Return the names of the namespaces that start with `prefix`."""
    return sorted(entry.name for entry in NAMESPACES.glob(f"{prefix}*")) if NAMESPACES.exists() else []


def remove(name: str) -> None:
    """Remove the namespace's name; a name without a namespace (a half-made one) goes as well."""
    if name in present(name) and not succeeds(["ip", "netns", "del", name]):
        succeeds(["umount", "--lazy", NAMESPACES / name])
        (NAMESPACES / name).unlink(missing_ok=True)
