"""What lies on each block device, asked of blkid and wipefs past udev's memory of it.

Rules:
- Empty means that both tools looked and found nothing. A device that can't be opened and read has no entry at all.
- Both tools only read; wipefs runs with --no-act.
"""

from __future__ import annotations

import json
import os
from typing import Any

from .supervise import ProbeError
from .tools import slurp_or_none, tool


def _readable(node: str) -> bool:
    try:
        fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return len(os.pread(fd, 4096, 0)) > 0
    except OSError:
        return False
    finally:
        os.close(fd)


def _blkid(nodes: list[str]) -> dict[str, dict[str, str]]:
    # 0: found; 2: nothing on the last one; 8: ambivalent, and then the tags of that device are missing from the output.
    code, out, err = tool("blkid", "-p", "-o", "export", *nodes)
    if code not in (0, 2, 8):
        raise ProbeError(f"blkid ended with {code}: {err.strip()[:200]}")
    found: dict[str, dict[str, str]] = {node: {} for node in nodes}
    for part in out.split("\n\n"):
        tags = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        node = tags.pop("DEVNAME", None)
        if node in found:
            found[node] = {name: value.replace("\\ ", " ") for name, value in tags.items()}
        elif tags:
            raise ProbeError(f"blkid answered for {node!r}, which it was not asked for")
    if "ambivalent" in err or code == 8:
        for node, tags in found.items():
            if not tags and tool("blkid", "-p", "-o", "export", node)[0] == 8:
                tags["AMBIVALENT"] = "more than one signature"
    return found


def _wipefs(nodes: list[str]) -> dict[str, list[str]]:
    code, out, err = tool("wipefs", "--no-act", "--json", *nodes)
    if code != 0:
        raise ProbeError(f"wipefs ended with {code}: {err.strip()[:200]}")
    by_name = {os.path.basename(node): node for node in nodes}
    found: dict[str, list[str]] = {node: [] for node in nodes}
    # An old wipefs prints nothing at all where there is nothing.
    for entry in json.loads(out)["signatures"] if out.strip() else []:
        found[by_name[entry["device"]]].append(f"{entry['type']}@{entry['offset']}")
    return found


def signatures(_asked: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Return the signatures of every device that has a node and can be read, by device number."""
    devices = seen.get("block")
    if devices is None:
        raise ProbeError("the block devices are not known")
    nodes = {number: device["node"] for number, device in devices.items() if device["node"] and device["size"] and _readable(device["node"])}
    if devices and not nodes:
        raise ProbeError("no block device could be opened: this needs root and the device nodes")
    if not nodes:
        return {}
    tags, marks = _blkid(list(nodes.values())), _wipefs(list(nodes.values()))
    swaps = {line.split()[0] for line in (slurp_or_none("/proc/swaps") or "").splitlines()[1:] if line.strip()}
    found = {}
    for number, node in nodes.items():
        claims = ["swap (in use)"] if {node, devices[number]["node"], f"/dev/mapper/{devices[number]['dm_name']}"} & swaps else []
        one = tags[node]
        found[number] = {
            "uuid": one.get("UUID"),
            "type": one.get("TYPE") or one.get("PTTYPE"),
            "label": one.get("LABEL"),
            "blkid": one,
            "wipefs": marks[node] + claims,
        }
    return found
