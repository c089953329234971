"""Look at block devices without changing them: identity, signatures, users, and whether they carry `/`.

Rules:
- A device is what its number says. Names, links and serials only lead to numbers; the node's own number is compared before it is trusted.
- What can't be found out is an error, never an empty answer.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from . import command

SYS_BLOCK = Path("/sys/class/block")
UDEV_DATA = Path("/run/udev/data")
# A filesystem that bears this label was not finished: mkfs sets it, and one write of the superblock takes it away again.
UNFINISHED = "cp-making"


class ProbeError(Exception):
    """Say that something about a device could not be observed."""


def text(path: Path) -> str:
    """Return a sysfs file's text without surrounding blanks, empty where there is none."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip(" \n\t\0")
    except OSError:
        return ""


def unescape(field: str) -> str:
    """Decode the octal escapes of mountinfo and fstab."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 0xFF]), field.encode("utf-8", "surrogateescape")).decode(
        "utf-8", "surrogateescape"
    )


def mounts() -> list[dict[str, Any]]:
    """Return mountinfo's entries in order; the last one of a mountpoint is the one on top."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        head, tail = before.split(" "), after.split(" ")
        source = unescape(tail[1])
        found.append(
            {
                "dev": _number_of_source(head[2], source),
                "root": unescape(head[3]),
                "path": unescape(head[4]),
                "fstype": tail[0],
                "source": source,
                "options": sorted({*head[5].split(","), *tail[2].split(",")}),
            }
        )
    return found


def _number_of_source(number: str, source: str) -> str:
    """Return the device number, through the source where the filesystem's own is anonymous (btrfs)."""
    if not number.startswith("0:") or not source.startswith("/dev/"):
        return number
    return number_of(source) or number


def number_of(node: str) -> str:
    """Return a device node's `major:minor`, empty where it is no block device."""
    try:
        found = Path(node).stat()
    except OSError:
        return ""
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if stat.S_ISBLK(found.st_mode) else ""


def devices() -> dict[str, dict[str, Any]]:
    """Return the kernel's block devices by number, with what sysfs and udev tell about their identity."""
    found = {}
    for entry in sorted(SYS_BLOCK.iterdir()):
        number = text(entry / "dev")
        if not number:
            continue
        udev = _udev(number)
        node = "/dev/" + (_uevent(entry).get("DEVNAME") or entry.name.replace("!", "/"))
        found[number] = {
            "number": number,
            "name": entry.name,
            "node": node,
            "node_ok": number_of(node) == number,
            "size": int(text(entry / "size") or 0) * 512,
            "read_only": text(entry / "ro") == "1",
            "partition_of": text(entry.resolve().parent / "dev") if (entry / "partition").exists() else "",
            "slaves": sorted(text(SYS_BLOCK / slave / "dev") for slave in _names(entry / "slaves")),
            "holders": _names(entry / "holders"),
            "loop_file": text(entry / "loop" / "backing_file"),
            "serials": sorted(
                {
                    text(entry / "serial"),
                    text(entry / "device" / "serial"),
                    *(udev.get(key, "") for key in ("ID_SERIAL", "ID_SERIAL_SHORT", "ID_SCSI_SERIAL")),
                }
                - {""}
            ),
            "wwns": sorted(
                {
                    _wwn(value)
                    for value in (
                        text(entry / "wwid"),
                        text(entry / "device" / "wwid"),
                        udev.get("ID_WWN", ""),
                        udev.get("ID_WWN_WITH_EXTENSION", ""),
                    )
                    if value
                }
            ),
            "links": sorted(udev.get("links", "").split("\n")) if udev.get("links") else [],
        }
    return found


def _names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []


def _uevent(entry: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text(entry / "uevent").splitlines() if "=" in line)


def _udev(number: str) -> dict[str, str]:
    values, links = {}, []
    for line in text(UDEV_DATA / f"b{number}").splitlines():
        if line.startswith("E:") and "=" in line:
            key, value = line[2:].split("=", 1)
            values[key] = value
        elif line.startswith("S:"):
            links.append(line[2:])
    values["links"] = "\n".join(links)
    return values


def _wwn(value: str) -> str:
    return re.sub(r"^(naa\.|eui\.|0x)", "", value.lower())


def candidates(identity: dict[str, Any], known: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every device that the identity fits: none and several are for the caller to refuse."""
    kind, value = identity["kind"], identity["value"]
    if kind == "serial":
        return [one for one in known.values() if value in one["serials"] and not one["partition_of"]]
    if kind == "wwn":
        return [one for one in known.values() if _wwn(value) in one["wwns"] and not one["partition_of"]]
    if kind == "loop_file":
        return [one for one in known.values() if one["loop_file"] == value and not one["partition_of"]]
    if kind == "uuid":
        return [one for one in known.values() if one["node_ok"] and one["size"] and signature(one["node"]).get("UUID") == value]
    folder = "disk/by-id/" if kind == "by_id" else "disk/by-path/"
    link = folder + value.rsplit("/", 1)[-1]
    numbers = {one["number"] for one in known.values() if link in one["links"]} | ({number_of("/dev/" + link)} - {""})
    return [known[number] for number in sorted(numbers) if number in known]


def signature(node: str) -> dict[str, str]:
    """Return what `blkid -p` reads on the device itself, `AMBIVALENT` set where it sees several things at once."""
    code, out, err = command.run(["blkid", "-p", "-o", "export", node])
    if code == 2:
        return {}
    if code == 8:
        return {"AMBIVALENT": "yes"}
    if code != 0:
        raise ProbeError(f"blkid -p {node} ended with {code}: {err.strip()}")
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def signatures(node: str) -> tuple[dict[str, str], list[str]]:
    """Return blkid's answer and every signature that blkid or wipefs sees, as words for a person."""
    seen = signature(node)
    words = set()
    if seen.get("AMBIVALENT"):
        words.add("several signatures at once (blkid)")
    if seen.get("TYPE"):
        words.add(f"{seen['TYPE']} {seen.get('UUID', '')}".strip())
    if seen.get("PTTYPE"):
        words.add(f"partition table {seen['PTTYPE']}")
    code, out, err = command.run(["wipefs", "--no-act", "--json", node])
    if code != 0:
        raise ProbeError(f"wipefs --no-act {node} ended with {code}: {err.strip()}")
    for one in json.loads(out)["signatures"] if out.strip() else []:
        word = f"{one['type']} {one.get('uuid') or ''}".strip()
        if word != f"{seen.get('PTTYPE')}":
            words.add(word)
    return seen, sorted(words)


def damage(node: str, filesystem: str) -> str:
    """Return what a look that writes nothing has against a filesystem that isn't mounted, empty where it has nothing. Of xfs the mount itself tells.

    Not what a boot runs (-p): with damaged group descriptors that deletes the journal and writes them over every copy before it gives up. A journal
    that a power cut left to be replayed is no damage, and -n goes past it.
    """
    if filesystem != "ext4":
        return ""
    code, out, err = command.run(["e2fsck", "-n", node])
    told = [line.strip() for line in f"{err}\n{out}".splitlines() if line.strip() and not re.match(r"e2fsck \d", line)]
    return f"e2fsck -n ended with {code}: {'; '.join(told[:3])}" if code else ""


def chain(number: str, known: dict[str, dict[str, Any]]) -> set[str]:
    """Return the device and everything that it is part of or stands on."""
    found, waiting = set(), [number]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        if one not in known:
            raise ProbeError(f"device {one} is not among the block devices of this host")
        entry = known[one]
        waiting += [below for below in [entry["partition_of"], *entry["slaves"], _file_device(entry["loop_file"])] if below]
    return found


def _file_device(file: str) -> str:
    """Return the device that a loop device's file is or lies on, empty where this host can't see the file (a machine of a lab)."""
    if file and (itself := number_of(file)):
        return itself
    try:
        device = Path(file).stat().st_dev if file else 0
    except OSError:
        return ""
    if not device:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    if os.major(device):
        return number
    holder = [mount["dev"] for mount in mounts() if (file + "/").startswith(mount["path"].rstrip("/") + "/")]
    return holder[-1] if holder and not holder[-1].startswith("0:") else ""


def carries_root(number: str, known: dict[str, dict[str, Any]]) -> bool:
    """Say whether the device shares any disk with the filesystem at `/`."""
    root = [mount for mount in mounts() if mount["path"] == "/"][-1]
    if root["dev"].startswith("0:"):
        raise ProbeError(f"/ is {root['fstype']} of {root['source']}: it can't be told which disks carry it")
    return bool(chain(number, known) & chain(root["dev"], known))


def users(one: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """Return who uses the device or a partition of it: partitions, holders, mounts, swap, and an exclusive open that fails."""
    parts = [part for part in known.values() if part["partition_of"] == one["number"]]
    numbers = {one["number"], *(part["number"] for part in parts)}
    swaps = [unescape(line.split()[0]) for line in text(Path("/proc/swaps")).splitlines()[1:]]
    return {
        "partitions": sorted(part["name"] for part in parts),
        "holders": sorted({*one["holders"], *(holder for part in parts for holder in part["holders"])}),
        "mounts": [mount for mount in mounts() if mount["dev"] in numbers],
        "swap": [swap for swap in swaps if number_of(swap) in numbers],
    }


def held(node: str, number: str) -> str:
    """Return why the device can't be had alone, empty if it can. It is opened for reading only, and its number is compared."""
    try:
        handle = os.open(node, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        return error.strerror or str(error)
    try:
        found = os.fstat(handle).st_rdev
        real = f"{os.major(found)}:{os.minor(found)}"
        return "" if real == number else f"{node} is device {real}, not {number}"
    finally:
        os.close(handle)
