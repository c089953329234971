"""Questions about filesystems: mounts and fstab, how full they are, the guard of the boot, what a boot left, what a run retired, files in /tmp."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.capabilities.fstab import GUARDED_UNITS, guarded_mounts
from controlplane.domain.evidence_shapes.system import Unit
from controlplane.domain.witness.ask import Ask, Asked, Told, not_installed, unit_asks

# What of a unit's files guards it. Other lines may hold secrets, which evidence does not have.
_GUARDS = ("RequiresMountsFor=", "AssertPathIsMountPoint=", "ExecStartPre=")
_THERE = 'for path; do if test -e "$path" || test -L "$path"; then printf "%s\\n" "$path"; fi; done'
# By the clock that nobody sets: a clock that was wrong at boot and put right since would date the boot wrongly.
_BEGAN = (
    "read -r up _ </proc/uptime && at=$(systemctl show --value -p UserspaceTimestampMonotonic)"
    ' && printf "%d\\n" $(($(date +%s) - ${up%.*} + $at / 1000000))'
)


def mounted(told: Told) -> Asked:
    """Ask what is mounted at a path: a disk by its UUID, anything else by its kind and source."""
    path = told.named
    mount = told.case.lineage.top_mount(path)
    if mount is None:
        return [_nothing_at(path)]
    seen = told.reader.signatures.get(mount["dev"])
    if seen is not None:
        return [Ask(("findmnt", "-fnro", "UUID", path), seen["uuid"] or "")]
    return [Ask(("findmnt", "-fnro", "FSTYPE,SOURCE", path), f"{mount['fstype']} {mount['source']}")] if mount["root"] == "/" else []


def _nothing_at(path: str) -> Ask:
    return Ask(("findmnt", "-nro", "TARGET", "--mountpoint", path), "", ends=(1,))


def entry(told: Told) -> Asked:
    """Ask what fstab's entries for a mountpoint name."""
    specs = [one["spec"] for one in told.reader.fstab["entries"] if one["file"].rstrip("/") == told.named]
    argv = ("findmnt", "--fstab", "-nro", "SOURCE", "--mountpoint", told.named)
    return [Ask(argv, "\n".join(specs), ends=(0,) if specs else (1,))]


def boot_usage(told: Told) -> Asked:
    """Ask how full `/` is."""
    limits = told.desired.thresholds
    return [_used("/", told, min(limits.root_used_warn, limits.root_used_fail))]


def disk_usage(told: Told) -> Asked:
    """Ask how full a data disk is."""
    if told.named == "*":
        return []
    if told.case.lineage.top_mount(told.named) is None:
        return [_nothing_at(told.named)]
    limits = told.desired.thresholds
    return [_used(told.named, told, min(limits.disk_used_warn, limits.disk_used_fail or limits.disk_used_warn))]


def _used(mount: str, told: Told, limit: int) -> Ask:
    # df says what it found at the path first, and rounds up.
    return Ask(("df", "--output=target,pcent,ipcent", "--", mount), str(limit), told.limit, pick=f"{mount} ")


def guard(told: Told) -> Asked:
    """Ask which mounts systemd requires for Docker's units, whether it has read their files, and whether these hold what guards them."""
    mounts = guarded_mounts(told.desired)
    asked: list[Ask] = []
    for name in GUARDED_UNITS:
        unit = told.reader.units.get(name)
        if unit is None or unit["load_state"] != "loaded":
            asked += unit_asks(name, unit)
            continue
        reload_due = "yes" if unit["needs_reload"] else "no"
        asked.append(Ask(("systemctl", "show", "--value", "-p", "NeedDaemonReload", name), reload_due))
        # A socket's list also names what its own path lies on, in no order that could be foretold.
        if told.is_met and mounts and name.endswith(".service"):
            asked.append(Ask(("systemctl", "show", "--value", "-p", "RequiresMountsFor", name), " ".join(mounts), "words"))
        if lines := _guards_in(unit, mounts):
            asked.append(Ask(("systemctl", "cat", "--", name), "\n".join(lines), "lines"))
    return asked


def _guards_in(unit: Unit, mounts: Sequence[str]) -> list[str]:
    lines = [line.strip() for drop_in in unit["drop_ins"] for line in drop_in["text"].splitlines()]
    return [line for line in lines if line.startswith(_GUARDS) and any(mount in line for mount in mounts)]


def reboot(told: Told) -> Asked:
    """Ask whether fstab is as old as it was, and what the boot brought up: each declared mount, and Docker on its root."""
    mtime = int(told.reader.fstab["mtime"])
    asked = [Ask(("stat", "--format=%Y", "/etc/fstab"), str(mtime))]
    if told.is_met:
        # systemd begins after its kernel, and after what an initial RAM disk did. Both count in whole seconds.
        asked.append(Ask(("sh", "-c", _BEGAN), str(int(told.reader.identity["boot_epoch"]) - 2), "at_least"))
    for mount in (*(disk.mount for disk in told.desired.disks), *(export.mount for export in told.desired.nfs)):
        asked += mounted(told._replace(named=mount))
    root = told.desired.docker.data_root
    if root is None:
        return asked
    if told.case.without_docker:
        return [*asked, not_installed()]
    docker = told.reader.units.get("docker.service")
    asked += unit_asks("docker.service", docker)
    if docker is None or docker["active_state"] != "active":
        return asked
    return [*asked, Ask(("docker", "info", "--format", "{{.DockerRootDir}}"), told.reader.docker_info["root"])]


def retired(told: Told) -> Asked:
    """Ask whether what was retired is there, or its rest under the name by which a purge removes it."""
    rows = [row for row in told.reader.target_state["retired"] if told.named in ("*", row["path"])]
    # What is emptied in its place is its own rest, by its own name.
    found = dict([(row["path"], row["exists"]) for row in rows] + [(row["purging"]["aside"], True) for row in rows if row["purging"] is not None])
    if not found:
        return []
    return [Ask(("sh", "-c", _THERE, "sh", *found), "\n".join(path for path, there in found.items() if there))]


def tmp(told: Told) -> Asked:
    """Ask for files over the limit in /tmp and /var/tmp, or whether one of them is still over it."""
    larger = ("-type", "f", "-size", f"+{told.desired.thresholds.tmp_file}c")
    if told.named != "*":
        return [Ask(("find", told.named, "-maxdepth", "0", *larger), told.named)]
    if not told.is_met:
        return []
    return [Ask(("find", "/tmp", "/var/tmp", "-xdev", "-ignore_readdir_race", *larger), "")]  # noqa: S108 - looked at, never written
