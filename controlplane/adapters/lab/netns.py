"""One network namespace a machine: it has no address but its own loopback, and is reached by entering it."""

from __future__ import annotations

from pathlib import Path

from .programs import run, succeeds

NAMESPACES = Path("/run/netns")
# Says that the lab's first namespace is why /run/netns is a mount.
OURS = Path("/run/controlplane-lab-netns")


def ensure(name: str) -> None:
    """Make the namespace where it isn't there and raise its loopback."""
    if name not in present(name):
        if not _is_mounted():
            NAMESPACES.mkdir(exist_ok=True)
            OURS.touch()
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
    # `ip netns` mounts this folder over itself once; whoever had it mounted before us keeps it.
    if OURS.exists() and not present("") and succeeds(["umount", NAMESPACES]):
        OURS.unlink(missing_ok=True)


def _is_mounted() -> bool:
    places = (line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return str(NAMESPACES) in places
