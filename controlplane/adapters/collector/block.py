"""Block devices and what stands on what, read from sysfs; no device is opened."""

from __future__ import annotations

import os
import stat
from typing import Any

from .tools import slurp_or_none, word

SYSFS = "/sys"
_BY = "/dev/disk"


def _numbers(folder: str, klass: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [number for name in names if (number := word(f"{klass}/{name}/dev"))]


def _links() -> dict[str, list[str]]:
    """Return udev's stable names by device number."""
    found: dict[str, list[str]] = {}
    try:
        kinds = sorted(os.listdir(_BY))
    except OSError:
        return found
    for kind in kinds:
        try:
            names = sorted(os.listdir(f"{_BY}/{kind}"))
        except OSError:
            continue
        for name in names:
            link = f"{_BY}/{kind}/{name}"
            try:
                info = os.stat(link)
            except OSError:
                continue
            if stat.S_ISBLK(info.st_mode):
                found.setdefault(f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}", []).append(link)
    return found


def _udev(number: str) -> dict[str, str]:
    try:
        text = slurp_or_none(f"/run/udev/data/b{number}") or ""
    except OSError:
        return {}
    return dict(line[2:].split("=", 1) for line in text.splitlines() if line.startswith("E:") and "=" in line)


def _vpd_serial(device: str) -> str | None:
    try:
        with open(f"{device}/device/vpd_pg80", "rb") as stream:
            return stream.read(256)[4:].decode("ascii", "replace").strip("\0 ") or None
    except OSError:
        return None


def _node(name: str, number: str) -> str | None:
    path = "/dev/" + name.replace("!", "/")
    try:
        info = os.stat(path)
    except OSError:
        return None
    ours = stat.S_ISBLK(info.st_mode) and f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}" == number
    return path if ours else None


def _device(klass: str, name: str, number: str, links: list[str]) -> dict[str, Any]:
    folder = f"{klass}/{name}"
    real = os.path.realpath(folder)
    udev = _udev(number)
    partition_of = word(f"{os.path.dirname(real)}/dev") if os.path.exists(f"{folder}/partition") else None
    below = [entry for entry in sorted(os.listdir(real)) if os.path.exists(f"{real}/{entry}/partition")]
    whole = partition_of is None
    return {
        "name": name,
        "size": int(word(f"{folder}/size") or 0) * 512,
        "read_only": word(f"{folder}/ro") == "1",
        "slaves": _numbers(f"{folder}/slaves", klass),
        "holders": _numbers(f"{folder}/holders", klass),
        "partition_of": partition_of,
        "partitions": [inner for entry in below if (inner := word(f"{real}/{entry}/dev"))],
        "loop_file": word(f"{folder}/loop/backing_file"),
        "dm_name": word(f"{folder}/dm/name"),
        "dm_uuid": word(f"{folder}/dm/uuid"),
        "serial": (word(f"{folder}/serial") or word(f"{folder}/device/serial") or _vpd_serial(folder) or udev.get("ID_SERIAL_SHORT"))
        if whole
        else None,
        "wwn": (word(f"{folder}/wwid") or word(f"{folder}/device/wwid") or udev.get("ID_WWN")) if whole else None,
        "links": links,
        "node": _node(name, number),
    }


def block(_asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return every block device by device number; loop devices without a file and empty drives are left out."""
    klass = f"{SYSFS}/class/block"
    links = _links()
    found = {}
    for name in sorted(os.listdir(klass)):
        number = word(f"{klass}/{name}/dev")
        if number is None:
            continue
        if name.startswith(("loop", "ram", "fd", "nbd")) and (word(f"{klass}/{name}/size") or "0") == "0":
            continue
        found[number] = _device(klass, name, number, links.get(number, []))
    return found
