"""storage.tmp_files: large files in the host's /tmp are removed, each by its path, in a plan of its own.

Rules:
- Only by name, like a purge: what is removed is gone, and nobody here knows whose it was. The plan says owner and age of each.
- Only what D238 calls too large, and what nobody wrote to for a day. The role looks again whether it is that very content, and unused.
- A look lists so many files and no more: what comes into the list once others are gone is for the next plan.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from controlplane.domain.amounts import show_age, show_bytes
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.surfaces import LargeFile
from controlplane.domain.plan import Change, Mend, Step

ID = "storage.tmp_files"
_QUIET_FOR = timedelta(days=1)


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    try:
        large = [file for file in reader.tmp["files"] if file["size"] > desired.thresholds.tmp_file]
    except Unobserved as doubt:
        return Proposal(refusals=(f"could not be observed: {doubt}",))
    refusals = [f"{file['path']}: {reason}" for file in large if (reason := _reason_to_keep(file, outlook)) is not None]
    doomed = [file for file in large if _reason_to_keep(file, outlook) is None]
    if not doomed:
        return Proposal(refusals=tuple(refusals))
    draft = Draft(
        mends=tuple(Mend(check="D238", surface=f"tmp:{file['path']}") for file in doomed),
        changes=tuple(Change(kind="delete", target=file["path"], before=_told(file), after=None, destructive=True) for file in doomed),
        undo="none: what is removed is gone",
        variables={"tmp_files_items": [{"path": file["path"], "mark": file.get("mark", "")} for file in doomed]},
    )
    return Proposal(drafts=(draft,), refusals=tuple(refusals))


def _written(file: LargeFile) -> datetime | None:
    mtime = file.get("mtime")
    return None if mtime is None or not file.get("mark") else datetime.fromtimestamp(mtime, UTC)


def _told(file: LargeFile) -> str:
    written = _written(file)
    return f"{show_bytes(file['size'])} of user {file.get('owner')}, last written on {written.date().isoformat() if written else '?'}"


def _reason_to_keep(file: LargeFile, outlook: Outlook) -> str | None:
    written = _written(file)
    if written is None:
        return "could not be observed: whose it is and when it was written"
    if outlook.now - written < _QUIET_FOR:
        # What was written after the plan was made, when that is looked at again.
        age = max(outlook.now - written, timedelta(0))
        return f"was written {show_age(age)} ago, and somebody may work on it: plan again once it was left alone for a day"
    return None


def _left_of(step: Step, reader: Reader) -> frozenset[str]:
    """Return the paths of the step that are still there, or of which that can't be told: they would stand behind the last one that is listed."""
    listed = [(-file["size"], file["path"]) for file in reader.tmp["files"]]
    there = {path for _, path in listed}
    items = {item["path"]: item["mark"] for item in step.variables["tmp_files_items"]}
    is_cut_off = reader.tmp["truncated"] and bool(listed)
    return frozenset(path for path, mark in items.items() if path in there or (is_cut_off and (-_size(mark), path) > listed[-1]))


def _size(mark: str) -> int:
    """Return the bytes that a file had by its mark: inode, size and time of modification."""
    return int(mark.split(":")[1])


CAPABILITY = Capability(id=ID, role="tmp_files", propose=_propose, only_by_name=True, mounts=False, left_of=_left_of)
