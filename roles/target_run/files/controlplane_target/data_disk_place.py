"""Make the planned filesystem where that is asked for, and mount it: one call, because nobody decides anything in between.

Rules:
- What speaks against the mountpoint is said before the disk is written, and asked again before it is mounted.
- Once the disk was written, nothing is a refusal any more: a refusal says that nothing was changed.
"""

from __future__ import annotations

from typing import Any

from . import data_disk_make, data_disk_mount
from .faults import FailedFault, RefusedFault


def place(want: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Do both, or only show them, each with a difference of its own; `want` says by `make` whether there is a filesystem to be made.

    Raises `RefusedFault`, `FailedFault`.
    """
    made: dict[str, Any] = {"changed": False, "diff": []}
    if want["make"]:
        data_disk_mount.looked(want)
        made = data_disk_make.make(want, check=check)
    try:
        mounted = data_disk_mount.mount(want, check=check)
    except RefusedFault as fault:
        if check or not made["changed"]:
            raise
        raise FailedFault(f"{fault} The disk and its filesystem are whole; mend that, and run this again.") from fault
    return {"changed": made["changed"] or mounted["changed"], "diff": [*made["diff"], *mounted["diff"]]}
