"""The exact text of fstab entries and boot guards: one function each, so that preview, role and check can't disagree."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.disks import Disk, NfsMount

# Nothing but the mount and what is guarded by it waits for the disk; one that is found later leaves Docker down until somebody starts it.
DEVICE_TIMEOUT = "x-systemd.device-timeout=30s"
GUARD_FILE = "50-controlplane-mounts.conf"
# sockets.target, and with it ssh, would wait for the disk: systemd orders every socket before that target unless it is told not to, and a
# network mount, which waits for services that wait for that target, would close a cycle. The rest of the defaults is said again.
_SOCKET_ORDER = (
    "DefaultDependencies=no",
    "Requires=sysinit.target",
    "After=sysinit.target",
    "Conflicts=shutdown.target",
    "Before=shutdown.target",
)
# fstab(5): these stand for themselves only as octal; a newline is refused long before.
_ESCAPES = {" ": "\\040", "\t": "\\011", "\\": "\\134", "#": "\\043"}


def escape(field: str) -> str:
    """Return one fstab field with its special characters as octal. Raises ValueError for control characters."""
    if any(ord(char) < 32 and char != "\t" for char in field) or not field:
        raise ValueError(f"not one fstab field: {field!r}")
    return "".join(_ESCAPES.get(char, char) for char in field)


def entry_line(entry: dict[str, object]) -> str:
    """Return the line of one entry (`spec`, `file`, `vfstype`, `options`, `freq`, `passno`), without its newline."""
    options = entry["options"]
    if not isinstance(options, list):
        raise TypeError("options are a list")
    fields = [str(entry["spec"]), str(entry["file"]), str(entry["vfstype"]), ",".join(options), str(entry["freq"]), str(entry["passno"])]
    return " ".join(escape(field) for field in fields)


def disk_entry(disk: Disk, uuid: str) -> dict[str, object]:
    """Return the entry of a data disk: by UUID, and never in the way of a boot to ssh."""
    return {
        "spec": f"UUID={uuid}",
        "file": disk.mount,
        "vfstype": disk.filesystem,
        "options": [*(disk.options or ("defaults",)), *_missing(disk.options, "nofail", DEVICE_TIMEOUT)],
        "freq": 0,
        # No check at boot: systemd's is e2fsck -p, which writes damaged group descriptors over every copy of them, and deletes the journal, before
        # it gives up. The kernel replays the journal by itself, and mounts no filesystem whose descriptors are damaged.
        "passno": 0,
    }


def nfs_entry(nfs: NfsMount) -> dict[str, object]:
    """Return the entry of an NFS export; the network comes first, and a dead server never stops the boot."""
    return {
        "spec": nfs.source,
        "file": nfs.mount,
        "vfstype": "nfs",
        "options": [nfs.mode, *nfs.options, *_missing(nfs.options, "nofail", "_netdev", "x-systemd.mount-timeout=30s")],
        "freq": 0,
        "passno": 0,
    }


def _missing(options: Sequence[str], *wanted: str) -> list[str]:
    names = {option.split("=", 1)[0] for option in options}
    return [option for option in wanted if option.split("=", 1)[0] not in names]


def guard_path(unit: str) -> str:
    """Return where the drop-in of `unit` lies."""
    return f"/etc/systemd/system/{unit}.d/{GUARD_FILE}"


def guard_text(unit: str, mounts: Sequence[tuple[str, str]]) -> str:
    """Return the drop-in that keeps a service or socket from starting on a bare mountpoint; `mounts` are (path, UUID).

    `nofail` drops the ordering before local-fs.target, and RequiresMountsFor= does nothing where no mount unit exists: hence both
    directives. AssertPathIsMountPoint= is content with any filesystem: hence the UUID.
    """
    paths = [path for path, _ in mounts]
    lines = ["[Unit]", "# Docker never starts on a bare mountpoint or on another disk's filesystem.", f"RequiresMountsFor={' '.join(paths)}"]
    lines += [f"AssertPathIsMountPoint={path}" for path in paths]
    socket = unit.endswith(".socket")
    lines += [*_SOCKET_ORDER, "[Socket]"] if socket else ["[Service]"]
    lines += [
        f"""ExecStartPre=/bin/sh -c 'test "$(findmnt -fno UUID {path})" = "{uuid}" """
        f"""|| {{ echo "controlplane: {path} is not the filesystem {uuid}" >&2; exit 1; }}'"""
        for path, uuid in mounts
    ]
    return "\n".join(lines) + "\n"
