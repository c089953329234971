"""Make the planned filesystem on one disk that was found blank, and on no other.

Rules:
- Right before mkfs it is looked again that the node is the device that was judged, that it is blank (or holds what an earlier, killed mkfs of the
  same UUID left), that nobody uses it and that it doesn't carry `/`.
- The filesystem bears the label `cp-making` until it is whole; a second run of a killed one knows it by that and makes it again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from . import command
from . import data_disk_probe as probe
from .faults import FailedFault, RefusedFault

_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-U", "{uuid}", "-L", probe.UNFINISHED],
    "xfs": ["mkfs.xfs", "-q", "-m", "uuid={uuid}", "-L", probe.UNFINISHED],
}
_FINISH = {"ext4": ["tune2fs", "-L", ""], "xfs": ["xfs_admin", "-L", "--"]}


def make(want: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Make the filesystem and read it back, or only show that; `want` has node, number and size as they were judged, uuid and filesystem.

    Raises `RefusedFault` where anything speaks against the device, `FailedFault`.
    """
    again = _refuse_unless_blank(want)
    if not check:
        _make(want, again=again)
        with suppress(FailedFault):  # a machine without udev has no links to wait for
            command.run(["udevadm", "settle", "--timeout=10"])
    node, planned = want["node"], f"{want['filesystem']} {want['uuid']}"
    shown = {"before_header": node, "after_header": node, "before": f"{node}: blank\n", "after": f"{node}: {planned}\n"}
    return {"changed": True, "diff": [shown]}


def _refuse_unless_blank(want: dict[str, Any]) -> bool:
    """Refuse where anything speaks against the device; return whether a killed mkfs left its mark there."""
    try:
        reason, again = _objection(want)
    except (probe.ProbeError, FailedFault, OSError, ValueError) as fault:
        reason, again = str(fault), False
    if reason:
        raise RefusedFault(f"{reason}. Nothing was changed on the disk.")
    return again


def _objection(want: dict[str, Any]) -> tuple[str, bool]:
    """Return why the device is not the blank disk that was judged, empty if it is, and whether a killed mkfs left its mark there."""
    known = probe.devices()
    one = known.get(want["number"])
    if one is None or not one["node_ok"] or one["node"] != want["node"]:
        return f"{want['node']} is not device {want['number']} any more", False
    seen, words = probe.signatures(want["node"])
    again = words == [f"{want['filesystem']} {want['uuid']}"] and seen.get("LABEL") == probe.UNFINISHED
    used = [f"{what} {', '.join(str(each) for each in who)}" for what, who in probe.users(one, known).items() if who]
    held = probe.held(want["node"], want["number"])
    reasons = [
        f"has {one['size']} bytes now, {want['size']} when it was judged" if one["size"] != want["size"] else "",
        "is read-only" if one["read_only"] else "",
        "shares a disk with /" if probe.carries_root(one["number"], known) else "",
        f"has {'; '.join(used)}" if used else "",
        f"holds {', '.join(words)}" if words and not again else "",
        f"is in use: {held}" if held else "",
    ]
    found = [reason for reason in reasons if reason]
    return (f"{want['node']} {found[0]}" if found else ""), again


def _make(want: dict[str, Any], *, again: bool) -> None:
    words = [word.format(uuid=want["uuid"]) for word in _MAKE[want["filesystem"]]]
    if again and want["filesystem"] == "xfs":
        words.append("-f")
    for argv in ([*words, want["node"]], [*_FINISH[want["filesystem"]], want["node"]]):
        code, out, err = command.run(argv)
        if code != 0:
            raise FailedFault(f"{' '.join(argv)} ended with {code}: {(err or out).strip()}. The disk bears an unfinished filesystem; run this again.")
    planned = f"{want['filesystem']} {want['uuid']}"
    try:
        seen, words = probe.signatures(want["node"])
    except (probe.ProbeError, ValueError) as fault:
        raise FailedFault(f"{want['node']} should hold {planned}, but it can't be read back: {fault}. Run this again.") from fault
    if words != [planned] or seen.get("LABEL"):
        raise FailedFault(f"{want['node']} should hold {planned}, but blkid and wipefs read {', '.join(words) or 'nothing'}.")
