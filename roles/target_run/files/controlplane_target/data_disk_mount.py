"""Mount a filesystem by its UUID over a folder that nobody can write to while nothing is mounted on it."""

from __future__ import annotations

from typing import Any

from . import command, mountpoint
from . import data_disk_probe as probe
from . import data_disk_view as view
from .beneath import beneath
from .faults import FailedFault, RefusedFault


def mount(want: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Make the folder (0755, root) if it is absent, set its flag, beneath the mount where one is there, and mount; or only show that.

    `want` has mount (the path), uuid, filesystem and options; options that are not in effect are put into effect. Raises `RefusedFault`, `FailedFault`.
    """
    path = want["mount"]
    seen = looked(want)
    argv = _mounting(want, seen)
    changed = not seen["immutable"] or argv is not None
    if changed and not check:
        _change(want, seen, argv)
    before = "absent" if not seen["exists"] else "folder, immutable" if seen["immutable"] else "folder"
    after = f"{path}: folder, immutable\n" + (f"{' '.join(argv)}\n" if argv else "")
    return {"changed": changed, "diff": [{"before_header": path, "after_header": path, "before": f"{path}: {before}\n", "after": after}]}


def looked(want: dict[str, Any]) -> dict[str, Any]:
    """Return how the mountpoint is; refuse one that is no empty folder, or is taken."""
    path = want["mount"]
    try:
        seen = view.look(path)
    except (probe.ProbeError, FailedFault, OSError) as fault:
        raise RefusedFault(f"{path} can't be seen: {fault}. Nothing was changed there.") from fault
    if seen["entries"] or (seen["exists"] and not seen["folder"]):
        raise RefusedFault(f"{path} is not an empty folder: {', '.join(seen['entries']) or 'no folder at all'}. Nothing was changed there.")
    top = seen["mounted"]
    if top and (top["uuid"], top["root"]) != (want["uuid"], "/"):
        raise RefusedFault(f"{path} is taken by {top['source']} ({top['fstype']}, UUID {top['uuid'] or 'none'}). Nothing was changed there.")
    return seen


def _mounting(want: dict[str, Any], seen: dict[str, Any]) -> list[str] | None:
    """Return the command that is still needed, None if the right options are in effect."""
    options = want["options"] or ["defaults"]
    if not seen["mounted"]:
        return ["mount", "-t", want["filesystem"], "-o", ",".join(options), f"UUID={want['uuid']}", want["mount"]]
    if view.missing_options(want["options"], seen["mounted"]["options"]):
        return ["mount", "-o", f"remount,{','.join(options)}", want["mount"]]
    return None


def _change(want: dict[str, Any], seen: dict[str, Any], argv: list[str] | None) -> None:
    """Do what is lacking."""
    path = want["mount"]
    try:
        if not seen["immutable"]:
            _protect(path, mounted=bool(seen["mounted"]))
    except (probe.ProbeError, FailedFault, OSError) as fault:
        raise FailedFault(
            f"{path} can't be made an immutable mountpoint: {fault}. The filesystem that holds it must know the flag (ext4, xfs, btrfs)."
        ) from fault
    if argv:
        code, out, err = command.run(argv)
        if code != 0:
            raise FailedFault(f"{' '.join(argv)} ended with {code}: {(err or out).strip().rstrip('.')}. {_after_a_failure(want, seen)}")


def _after_a_failure(want: dict[str, Any], seen: dict[str, Any]) -> str:
    """Say how it is after a mount that failed, and what to do: a kernel that refuses a filesystem may be right about it."""
    if seen["mounted"]:
        return f"It is mounted at {want['mount']} as it was; mend that, and run this again."
    look = "xfs_repair -n" if want["filesystem"] == "xfs" else "e2fsck -fn"
    return (
        f"Nothing is mounted at {want['mount']}. See whether the filesystem is damaged: {look} {want['node']}    (changes nothing). Where it is, copy "
        "the whole disk before you repair it (the same without n); then run this again."
    )


def _protect(path: str, *, mounted: bool) -> None:
    """Make the folder where there is none, and set its flag."""
    if mounted:
        beneath("set", path)
    else:
        mountpoint.make(path)
