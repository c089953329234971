"""storage.fstab: mounts survive a reboot, and Docker never starts without them.

Rules:
- Only entries whose mountpoint the policy declares are written; every other byte of the file stays.
- A mount that the plan can't provide gets no entry and no guard: a guard on it would keep Docker down for good.
- A mount below which a Docker root lies and whose path holds white space or `#` is refused: systemd's lists split on it.
- Where the profile says that Docker will be, its guards are written before it is installed; what they mend is promised by the step that brings it.
- An entry that D240 accepts is left as it is, whoever wrote it.
- A bare directory beneath a live mount is made immutable past the mount; one that holds entries is refused, because nothing is unmounted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlplane.domain.capabilities.coming_docker import comes
from controlplane.domain.capabilities.fstab_text import disk_entry, entry_line, guard_path, guard_text, nfs_entry
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved, is_absent
from controlplane.domain.evidence_shapes.disks import FstabEntry
from controlplane.domain.plan import Change, Mend

ID = "storage.fstab"
BARE = "immutable while nothing is mounted on it"
GUARDED_UNITS = ("docker.service", "docker.socket", "containerd.service")


def guarded_mounts(desired: DesiredHost) -> tuple[str, ...]:
    """Return the declared mounts below which one of Docker's roots is to lie."""
    roots = [root for root in (desired.docker.data_root, desired.docker.containerd_root) if root]
    mounts = [disk.mount for disk in desired.disks] + [nfs.mount for nfs in desired.nfs]
    return tuple(sorted(m for m in mounts if any(root == m or root.startswith(f"{m}/") for root in roots)))


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    try:
        proposal = _decide(desired, reader, outlook)
        # Docker comes only where its guard is there before it.
        return replace(proposal, outlook=replace(outlook, guarded=not proposal.refusals)) if comes(desired, reader) else proposal
    except Unobserved as doubt:
        return Proposal(refusals=(f"could not be observed: {doubt}",)) if desired.disks or desired.nfs else Proposal()


def _decide(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    unsafe = [path for path in guarded_mounts(desired) if any(char.isspace() or char == "#" for char in path)]
    if unsafe:
        reason = "systemd's lists would split this path: mount it where the path has no white space"
        return Proposal(refusals=tuple(f"{path}: {reason}" for path in unsafe))
    refusals = [f"{disk.mount}: {outlook.missing[disk.mount]}" for disk in desired.disks if disk.mount in outlook.missing]
    wanted = [disk_entry(disk, outlook.mounts[disk.mount].uuid) for disk in desired.disks if disk.mount in outlook.mounts]
    wanted += [nfs_entry(nfs) for nfs in desired.nfs]
    if not wanted:
        return Proposal(refusals=tuple(refusals))
    changes: list[Change] = []
    mends: list[Mend] = []
    entries: list[dict[str, object]] = []
    for entry in wanted:
        present = [seen for seen in reader.fstab["entries"] if (seen["file"].rstrip("/") or "/") == entry["file"]]
        if len(present) > 1:
            refusals.append(f"{entry['file']} has {len(present)} entries, in lines {', '.join(str(p['line']) for p in present)}: remove all but one")
            continue
        if not present or not _serves(present[0], entry):
            before = _line_of(present[0], reader) if present else None
            changes.append(Change(kind="file", target="/etc/fstab", before=before, after=entry_line(entry)))
            mends.append(Mend(check="D240", surface=f"fstab:{entry['file']}"))
            entries.append(entry)
    guards = _guards(desired, reader, outlook)
    writable, faults = _bare_directories(desired, reader, outlook)
    refusals += faults
    changes += [
        Change(kind="file", target=guard_path(guard["unit"]), before=_present(guard["unit"], reader), after=guard["text"]) for guard in guards
    ]
    changes += [Change(kind="attribute", target=path, before="can be written beneath the mount", after=BARE) for path in writable]
    if not changes:
        return Proposal(refusals=tuple(refusals))
    if (guards or writable) and not faults and not comes(desired, reader):
        mends.append(Mend(check="D241", surface="boot.guard"))
    draft = Draft(
        mends=tuple(mends),
        changes=tuple(changes),
        undo="put /etc/fstab and the drop-ins back byte for byte, then systemctl daemon-reload"
        f"{'; make the bare directory writable again' if writable else ''}; nothing is unmounted",
        variables={"fstab_entries": entries, "fstab_guards": guards, "fstab_bare": writable},
    )
    return Proposal(drafts=(draft,), refusals=tuple(refusals))


def _guards(desired: DesiredHost, reader: Reader, outlook: Outlook) -> list[dict[str, Any]]:
    mounts = [(path, outlook.mounts[path].uuid) for path in guarded_mounts(desired) if path in outlook.mounts]
    if not mounts:
        return []
    ahead = comes(desired, reader)
    if not ahead and (is_absent(reader.evidence, "docker_config") or not reader.docker_config["installed"]):
        return []
    units = [unit for unit in GUARDED_UNITS if ahead or (unit in reader.units and reader.units[unit]["load_state"] == "loaded")]
    wanted = {unit: guard_text(unit, mounts) for unit in units}
    # Of a unit that comes later in the same plan systemd knows nothing yet.
    more = {"ahead": True} if ahead else {}
    return [{"unit": unit, "text": text, **more} for unit, text in wanted.items() if _present(unit, reader) != text]


def is_guarded(desired: DesiredHost, reader: Reader, outlook: Outlook) -> bool:
    """Say whether all that keeps Docker from the bare mountpoints is there already. Raises `Unobserved`."""
    writable, faults = _bare_directories(desired, reader, outlook)
    return not _guards(desired, reader, outlook) and not writable and not faults


def _present(unit: str, reader: Reader) -> str | None:
    return next((drop["text"] for drop in reader.units[unit]["drop_ins"] if drop["path"] == guard_path(unit)), None)


def _bare_directories(desired: DesiredHost, reader: Reader, outlook: Outlook) -> tuple[list[str], list[str]]:
    """Return the mounts beneath which the bare directory is to be made immutable, and what keeps the guard from being whole."""
    writable, told = [], []
    for path in guarded_mounts(desired):
        if path not in outlook.mounts or not outlook.mounts[path].live:
            continue
        bare = reader.beneath.get(path)
        if bare is None:
            raise Unobserved(f"the directory under {path} was not looked at")
        if bare["entries"]:
            names = ", ".join(bare["sample"][:3]) + (f" and {bare['entries'] - 3} more" if bare["entries"] > 3 else "")
            told.append(f"the directory under the mount {path} holds {names}: unmount it, move them away, then plan again")
        elif not bare["exists"] or bare["immutable"] is None:
            told.append(f"whether the directory under the mount {path} can be written could not be observed: its filesystem tells no immutable flag")
        elif not bare["immutable"]:
            writable.append(path)
    return writable, told


def _serves(present: FstabEntry, wanted: dict[str, object]) -> bool:
    """Say whether an entry does all that the wanted one does."""
    options, needed = present["options"], wanted["options"]
    if not isinstance(needed, list):
        raise TypeError("options are a list")
    timed = [option for option in needed if option.startswith(("x-systemd.device-timeout=", "x-systemd.mount-timeout="))]
    plain = [option for option in needed if option not in timed and option != "defaults"]
    same = present["spec"] == wanted["spec"] and present["vfstype"] == wanted["vfstype"]
    in_time = all(any(option.startswith(f"{limit.split('=', 1)[0]}=") for option in options) for limit in timed)
    return same and in_time and all(option in options for option in plain) and "noauto" not in options and ("ro" in options) == ("ro" in needed)


def _line_of(entry: FstabEntry, reader: Reader) -> str:
    lines = reader.fstab["text"].split("\n")
    if not 1 <= entry["line"] <= len(lines):
        raise Unobserved(f"line {entry['line']} of /etc/fstab is not in its text")
    return lines[entry["line"] - 1]


CAPABILITY = Capability(id=ID, role="fstab", propose=_propose)
