"""D242: what is configured has survived a reboot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from controlplane.domain.checks.boot_guard import UNITS
from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.runs import StorageChange


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:
    """Judge `reboot.proof` of every host that the policy names.

    Description: the host was booted after the last change to fstab, daemon.json, the guards and its storage, and came up with every declared mount
    and with Docker running on its declared root. Of a host without declared disks, NFS exports, Docker roots, services or write surfaces only what
    this program changed of its storage counts.
    Drift: not rebooted since one of them changed, or came up without a mount, without Docker or on another root (medium).
    Unknown: boot time, fstab, Docker, the units or this program's state on the host could not be observed.
    Rationale: a configuration that has never been booted is a guess, and the next power cut tests it at the worst time.
    """
    if general:
        return
    mounts, roots = desired.disks or desired.nfs, desired.docker.data_root or desired.docker.containerd_root
    yield Question("reboot.proof", _proof if mounts or roots or desired.services or desired.write_surfaces else _of_the_record)


def _proof(case: Case) -> Answer:
    reader, desired = case.reader, case.desired
    identity, state, units = reader.identity, reader.target_state, reader.units
    changed = {"/etc/fstab": reader.fstab["mtime"]}
    if not case.without_docker and reader.docker_config["daemon_json_mtime"] is not None:
        changed["daemon.json"] = reader.docker_config["daemon_json_mtime"]
    for name in UNITS:
        unit = units.get(name)
        if unit is None:
            raise Unobserved(f"{name} was not looked at")
        changed |= {drop_in["path"]: drop_in["mtime"] for drop_in in unit["drop_ins"]}
    problems = _came_up(case)
    boot = identity["boot_epoch"]
    if boot <= 0:
        raise Unobserved(f"the boot time makes no sense ({boot})")
    later = {what: at for what, at in changed.items() if at >= boot}
    if later:
        last = max(later, key=lambda what: later[what])
        problems.append(f"not rebooted since {last} changed ({_when(later[last])}, booted {_when(boot)})")
    problems += _changed_here(state["last_change"], identity["boot_id"])
    if problems:
        return drifted("; ".join(problems), "medium")
    return met(f"booted {_when(boot)}, after every change" + (f", with Docker on {desired.docker.data_root}" if desired.docker.data_root else ""))


def _of_the_record(case: Case) -> Answer:
    """Judge a host on which nothing is declared that a boot has to bring up, by what runs of this program left on its record."""
    change = case.reader.target_state["last_change"]
    problems = _changed_here(change, case.reader.identity["boot_id"])
    if problems:
        return drifted("; ".join(problems), "medium")
    return met("no change of its storage is on record" if change is None else f"booted after run {change['run']} changed storage ({change['at']})")


def _changed_here(change: StorageChange | None, boot_id: str) -> list[str]:
    """Return what this program changed in the boot that still runs."""
    if change is None or change["boot_id"] != boot_id:
        return []
    return [f"not rebooted since run {change['run']} changed storage ({change['at']})"]


def _came_up(case: Case) -> list[str]:
    desired = case.desired
    mounts = [disk.mount for disk in desired.disks] + [export.mount for export in desired.nfs]
    problems = [f"{mount} is not mounted" for mount in mounts if case.lineage.top_mount(mount) is None]
    if not desired.docker.data_root:
        return problems
    if case.without_docker:
        return [*problems, "Docker is not installed"]
    active = case.reader.units["docker.service"]["active_state"] if "docker.service" in case.reader.units else ""
    if active != "active":
        return [*problems, f"docker.service is {active or 'in no known state'}"]
    root = case.reader.docker_info["root"]
    return problems if root == desired.docker.data_root else [*problems, f"Docker runs on {root}, declared is {desired.docker.data_root}"]


def _when(epoch: float) -> str:
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"at {epoch}"


CHECK = Check("D242", "reboot proof", "medium", _questions)
