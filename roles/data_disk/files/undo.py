#!/usr/bin/python3
"""Undo a data disk's mount: unmount it if nobody uses it, and remove the mountpoint if the run made it. Data stays.

Needs nothing but this folder. Exit codes: 0 done or nothing left to do, 4 refused and nothing was changed, 1 failed.
"""

from __future__ import annotations

import argparse
import array
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
TOOLS = HERE / "controlplane_target"
GET_FLAGS, SET_FLAGS, IMMUTABLE = 0x80086601, 0x40086602, 0x10
RESTORED = ("relatime", "noatime", "nodiratime", "lazytime", "nosuid", "nodev", "noexec", "sync", "dirsync", "discard", "ro", "rw")

OPPOSITE = {
    "noatime": "atime",
    "nodiratime": "diratime",
    "relatime": "norelatime",
    "lazytime": "nolazytime",
    "nosuid": "suid",
    "nodev": "dev",
    "noexec": "exec",
    "sync": "async",
    "discard": "nodiscard",
}


def finish(code: int, changed: bool, message: str) -> None:
    """Print the answer and end."""
    print(json.dumps({"changed": changed, "message": message}))
    print(message, file=sys.stderr)
    sys.exit(code)


def run(*command: str) -> subprocess.CompletedProcess:
    """Run one program and return what came of it."""
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})


def plain(field: str) -> str:
    """Decode mountinfo's octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


class Mount(NamedTuple):
    """One line of mountinfo; `group` is the peer group through which mounting and unmounting here reach other namespaces."""

    number: str
    path: str
    source: str
    group: str


def table(process: str = "self") -> list[Mount]:
    """Return the mounts that a process sees."""
    found = []
    for line in Path(f"/proc/{process}/mountinfo").read_text(errors="surrogateescape").splitlines():
        head, _, tail = line.partition(" - ")
        groups = [field.partition(":")[2] for field in head.split()[6:] if field.startswith(("shared:", "master:"))]
        found.append(Mount(head.split()[2], plain(head.split()[4]), plain(tail.split()[1]), groups[-1] if groups else ""))
    return found


def users(number: str, mount: str) -> list[str]:
    """Return who uses the filesystem: other mounts of it, in every namespace, open files, folders, programs and mappings."""
    major, minor = (int(part) for part in number.split(":"))
    device = os.makedev(major, minor)
    mine = table()
    found = {f"mount {one.path}" for one in mine if (one.number == number and one.path != mount) or one.path.startswith(mount + "/")}
    # A namespace that follows ours (a service with a private /tmp, say) loses the mount with us; a container's copy stays.
    follows = {one.group for one in mine if one.path == mount} - {""}
    own = Path("/proc/self/ns/mnt").readlink()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            name = f"{(process / 'comm').read_text().strip()} ({process.name})"
            links = [process / "cwd", process / "root", process / "exe", *(process / "fd").iterdir()]
            if any(_device(link) == device for link in links):
                found.add(name)
            mapped = {line.split()[3] for line in (process / "maps").read_text(errors="replace").splitlines() if len(line.split()) > 5}
            if f"{major:02x}:{minor:02x}" in mapped:
                found.add(name)
            if (process / "ns/mnt").readlink() != own and any(one.number == number and one.group not in follows for one in table(process.name)):
                found.add(f"{name}, in its own mount namespace")
        except OSError:
            continue  # the process ended, or is a kernel thread
    return sorted(found)


def _device(link: Path) -> int:
    try:
        return link.stat().st_dev
    except OSError:
        return -1


def immutable(path: str, clear: bool) -> bool:
    """Say whether the folder is immutable, and clear the flag if asked to."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        word = array.array("L", [0])
        fcntl.ioctl(handle, GET_FLAGS, word)
        was = bool(word[0] & IMMUTABLE)
        if was and clear:
            word[0] &= ~IMMUTABLE
            fcntl.ioctl(handle, SET_FLAGS, word)
        return was
    finally:
        os.close(handle)


def unmounted(record: dict, here: Mount, check: bool) -> list[str]:
    """Unmount what the run mounted, and return what was done."""
    mount, uuid = record["mount"], record["uuid"]
    seen = run("findmnt", "--noheadings", "--raw", "--output", "UUID", "--mountpoint", mount).stdout.split()
    if seen[-1:] != [uuid]:
        finish(
            4, False, f"{mount} is not the filesystem {uuid} that this run mounted, but {' '.join(seen[-1:]) or here.source}. Nothing was changed."
        )
    using = users(here.number, mount)
    if using:
        finish(4, False, f"{mount} is in use by {', '.join(using)}. Nothing was changed. Stop them, then run this again.")
    if not check:
        ended = run("umount", mount)
        if ended.returncode != 0:
            finish(4, False, f"{mount} could not be unmounted: {ended.stderr.strip()}. Nothing was changed.")
    return [f"unmounted {mount}"]


def remounted(record: dict, check: bool) -> list[str]:
    """Give a mount that was there before the run its former options, and return what was done."""
    mount = record["mount"]
    was, now = shown(record["was_options"]), effective(mount)
    if not now or was == now:
        return []
    if not check:
        ended = run("mount", "-o", ",".join(["remount", *way_back(was, now)]), mount)
        if ended.returncode != 0 or effective(mount) != was:
            finish(1, False, f"{mount} could not be mounted again with {','.join(sorted(was))}: {ended.stderr.strip()}")
    return [f"gave {mount} its former options {','.join(sorted(was))}"]


def effective(mount: str) -> set[str]:
    """Return the options in effect, of those that can be restored."""
    seen = run("findmnt", "--noheadings", "--raw", "--output", "OPTIONS", "--mountpoint", mount).stdout.strip().splitlines()
    return shown(seen[-1].split(",")) if seen else set()


def shown(options: list[str]) -> set[str]:
    """Return the options that can be restored; a mount that is read-only may lie on a filesystem that is not."""
    found = {one for one in options if one in RESTORED}
    return found - {"rw"} if "ro" in found else found


def way_back(was: set[str], now: set[str]) -> list[str]:
    """Return what a remount needs: it keeps what it is not told to switch off, and noatime outweighs relatime."""
    off = [OPPOSITE[one] for one in sorted(now - was) if one in OPPOSITE]
    # The kernel takes relatime where nothing is said of it.
    strict = [] if was & {"noatime", "relatime"} else ["strictatime"]
    return [*off, *strict, *sorted(was)]


def removed(record: dict, done: list[str], check: bool) -> list[str]:
    """Remove the folders that the run made for the mountpoint, innermost first, and return what was done."""
    if not record["first_missing"]:
        return []
    words = []
    for path in (Path(record["mount"]), *Path(record["mount"]).parents):
        if not path.is_relative_to(record["first_missing"]) or not path.exists():
            continue
        try:
            if not check:
                path.rmdir()
        except OSError as error:
            so_far = "; ".join([*done, *words]) or "nothing was undone"
            finish(
                1,
                bool(done or words),
                f"{so_far}; but {path} could not be removed: {error.strerror}. Move away what lies there, then run this again.",
            )
        words.append(f"removed {path}")
    return words


def note() -> None:
    """Say that this host's storage is changed in this boot, so that the next proof of a reboot comes after it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    text = json.dumps({"run": HERE.name, "boot_id": boot, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
    place = HERE.parent / ".last-change.json.undo"
    with place.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    place.replace(HERE.parent / "last-change.json")


def under_lease() -> int:
    """Take this host's lease as every run does, undo under it, and give it back; return the exit code."""
    who = ["--run", HERE.name, "--holder", f"root@{socket.gethostname()} (undo)", "--ttl", "600"]
    tool = [sys.executable, "-B", str(TOOLS), "lease"]
    taken = subprocess.run([*tool, "take", *who, "--role", "data_disk"], capture_output=True, text=True, check=False)
    if taken.returncode != 0:
        finish(4, False, taken.stderr.strip() or f"{TOOLS} lease take ended with {taken.returncode}. Nothing was changed.")
    who += ["--token", str(json.loads(taken.stdout)["lease"]["token"])]
    try:
        # No other run can take the lease from under it.
        return subprocess.run([*tool, "hold", *who, "--", sys.executable, str(Path(__file__).resolve()), "--leased"], check=False).returncode
    finally:
        subprocess.run([*tool, "release", *who], capture_output=True, check=False)


def undo(check: bool) -> None:
    """Undo what the record says, or say what would be undone."""
    record = json.loads((HERE / "data_disk.json").read_text())
    mount, done = record["mount"], []
    here = [one for one in table() if one.path == mount]
    if record["was_mounted"]:
        # The flag of the bare folder stays: it harms nobody, and the folder is out of reach beneath the mount.
        done = remounted(record, check) if here else []
    else:
        done = unmounted(record, here[-1], check) if here else []
        # While the mount is still there (check only) the bare folder can't be asked.
        if not record["was_immutable"] and Path(mount).is_dir() and ((check and here) or immutable(mount, clear=not check)):
            done.append(f"made {mount} writable again")
        done += removed(record, done, check)
    kept = f" The filesystem {record['uuid']} and all data on it stay on {record['identity']}."
    if done and not check:
        note()
    if not done:
        finish(0, False, f"There was nothing left to undo.{kept}")
    finish(0, True, ("Would have: " if check else "Done: ") + "; ".join(done) + "." + kept)


def main() -> None:
    """Undo, holding this host's lease."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what would be undone")
    parser.add_argument("--leased", action="store_true", help="the caller holds the host's lease")
    options = parser.parse_args()
    # Without the tools it was laid down by hand: whoever does that looks after the lease.
    if not (options.check or options.leased) and TOOLS.is_dir():
        sys.exit(under_lease())
    undo(options.check)


if __name__ == "__main__":
    main()
