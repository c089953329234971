"""The mount table, and where a path really lies."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from functools import partial
from typing import Any, Callable, TypeVar

from .supervise import ProbeError

_ESCAPE = re.compile(r"\\([0-7]{3})")
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "afs", "autofs")
PSEUDO = frozenset(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fuse.lxcfs fusectl hugetlbfs mqueue nsfs overlay proc pstore "
    "ramfs rpc_pipefs securityfs selinuxfs squashfs sysfs tmpfs tracefs".split()
)
_PATIENCE = 2.0
_AT_ONCE = 200
T = TypeVar("T")


def unescape(text: str) -> str:
    r"""Return the text with the kernel's octal escapes (\040) decoded."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), text)


def parse_mountinfo(text: str) -> list[dict[str, Any]]:
    """Return the mounts of a mountinfo text, in its order (a later one covers an earlier one at the same place)."""
    table = []
    for line in text.splitlines():
        fields = line.split(" ")
        try:
            dash = fields.index("-", 6)
            fstype, source, supers = fields[dash + 1 : dash + 4]
            table.append(
                {
                    "id": int(fields[0]),
                    "parent": int(fields[1]),
                    "dev": fields[2],
                    "root": unescape(fields[3]),
                    "mount": unescape(fields[4]),
                    "options": fields[5].split(","),
                    "fstype": fstype,
                    "source": unescape(source),
                    "super_options": supers.split(","),
                }
            )
        except ValueError:
            raise ProbeError(f"a line of mountinfo could not be read: {line[:200]!r}") from None
    return table


def mount_table(process: str = "self") -> list[dict[str, Any]]:
    """Return the mounts that a process sees."""
    # Names are bytes: what isn't UTF-8 must not end the probe.
    with open(f"/proc/{process}/mountinfo", encoding="utf-8", errors="replace", newline="\n") as stream:
        return parse_mountinfo(stream.read())


def mounts(_asked: dict[str, Any], _seen: dict[str, Any]) -> list[dict[str, Any]]:
    """Return this host's mounts."""
    return mount_table()


def in_time(acts: dict[str, Callable[[], T]]) -> dict[str, T]:
    """Return what each act returns; one that fails, or hangs for two seconds (a dead server or disk), is left out and holds up no other."""
    got: dict[str, T] = {}
    faults: list[Exception] = []

    def work(name: str) -> None:
        try:
            got[name] = acts[name]()
        except OSError:
            pass  # left out
        except Exception as fault:
            faults.append(fault)

    names = list(acts)
    for first in range(0, len(names), _AT_ONCE):
        threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in names[first : first + _AT_ONCE]]
        for thread in threads:
            thread.start()
        limit = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, limit - time.monotonic()))
    if faults:
        raise faults[0]
    return dict(got)


def is_remote(fstype: str) -> bool:
    """Say whether a server or a program, not this host's kernel, answers for this filesystem."""
    return fstype in NETWORK or fstype == "fuse" or fstype.startswith("fuse.")


def _statvfs(at: str) -> dict[str, int]:
    info = os.statvfs(at)
    unit = info.f_frsize or info.f_bsize
    return {
        "size": info.f_blocks * unit,
        "free": info.f_bfree * unit,
        "available": info.f_bavail * unit,
        "inodes": info.f_files,
        "inodes_free": info.f_ffree,
    }


def usage(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return statvfs of every real filesystem by mountpoint; one that doesn't answer is left out."""
    real = {
        mount["mount"]
        for mount in mount_table()
        if mount["fstype"] not in PSEUDO or mount["mount"] in ("/", "/tmp", "/var/tmp")  # noqa: S108 - named, never written
    }
    return in_time({at: partial(_statvfs, at) for at in sorted(real)})


def place_of(path: str, by_id: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return where a path lies. The kernel itself names the mount of the nearest existing ancestor, so stacked and bind mounts come out right."""
    real = os.path.realpath(path)
    nearest, info = real, None
    while True:
        try:
            info = os.lstat(nearest)
            break
        except (FileNotFoundError, NotADirectoryError):
            nearest = os.path.dirname(nearest)
    exists = nearest == real
    fd = os.open(nearest, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as stream:
            mount_id = next(int(line.split()[1]) for line in stream if line.startswith("mnt_id:"))
    finally:
        os.close(fd)
    mount = by_id.get(mount_id)
    kind = "absent"
    if exists:
        kind = "dir" if stat.S_ISDIR(info.st_mode) else "file" if stat.S_ISREG(info.st_mode) else "other"
    return {
        "exists": exists,
        "real": real,
        "nearest": nearest,
        "dev": mount["dev"] if mount else "",
        "mount": mount["mount"] if mount else "",
        "kind": kind,
        "uid": info.st_uid if exists else None,
        "gid": info.st_gid if exists else None,
        "mode": stat.S_IMODE(info.st_mode) if exists else None,
        "empty": _is_empty(real) if kind == "dir" else None,
    }


def _is_empty(folder: str) -> bool | None:
    try:
        with os.scandir(folder) as entries:
            return all(entry.name == "lost+found" for entry in entries)
    except OSError:
        return None  # root of this host is not root of every server


def places_of(wanted: set[str]) -> dict[str, Any]:
    """Return the place of each path; one that hangs or can't be looked at is left out."""
    by_id = {mount["id"]: mount for mount in mount_table()}
    return in_time({path: partial(place_of, path, by_id) for path in sorted(wanted)})
