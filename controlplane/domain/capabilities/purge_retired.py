"""storage.purge: what earlier runs retired is deleted, by name, in a plan of its own.

Rules:
- Only what is recorded as retired, is older than the site's retention, and is by its fingerprint what was retired: the same entries below
  it, by name, type, mode, owner, size and mtime to the nanosecond. No content is read, so this proves that nobody wrote there in an
  ordinary way since (the fingerprint says what it does not see), not that every byte is the same.
- The age is held twice: here, and by the role from the host's own record and clock, so that no project rendered from a plan is early.
- The comparison that decides is the role's, right before the first deletion and without a limit of time: a tree that differs is refused
  there and nothing is deleted, whatever was seen before. So a plan deletes exactly the trees that it names by fingerprint, or nothing.
- Evidence compares too, but only for as long as an audit may take. What it saw to differ is refused at once; a tree that is too large for
  it is planned, because "not compared yet" is no verdict on it, and otherwise nobody could ever purge it. What can't be read is refused.
- What a purge began and did not end is planned again by the same change record, so that a resumed run finds in its plan what is left to do.
  Its fingerprint and age were held before it was begun; what holds now is that a journal on the host knows that very tree, and the role
  looks again. What no journal knows, or what lies beside a path that is there again, is left alone.
- What the role would refuse for who uses a tree is a refusal of that tree alone, as far as evidence shows it: the others are planned.
- What lies in another retired tree goes with that one, and never without it: the other would no longer be what was retired.
- Never together with another capability: whoever approves a deletion approves nothing else with it.
"""

from __future__ import annotations

from datetime import datetime

from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.checks.retired_reach import reach
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.runs import Purging, Retired
from controlplane.domain.paths import is_below
from controlplane.domain.plan import Change, Mend

ID = "storage.purge"


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:  # noqa: ARG001 - every capability is asked the same way
    try:
        retired = [item for item in reader.target_state["retired"] if item["exists"] or item["purging"]]
    except Unobserved as doubt:
        return Proposal(refusals=(f"could not be observed: {doubt}",))
    kept = _kept(retired, reader, outlook)
    refusals = [f"{path}: {reason}" for path, reason in kept.items()]
    doomed = [item for item in retired if item["path"] not in kept]
    if not doomed:
        return Proposal(refusals=tuple(refusals))
    draft = Draft(
        mends=tuple(Mend(check="D244", surface=f"retired:{item['path']}") for item in doomed),
        changes=tuple(
            Change(
                kind="delete",
                target=item["path"],
                before=f"retired with {item['entries']} entries, {item['size']} bytes, {item['recorded']}",
                after=None,
                destructive=True,
            )
            for item in doomed
        ),
        undo="; ".join(["none: what is purged is gone, and so is the rollback of the run that retired it", *_notes(doomed, reader)]),
        variables={
            "purge_retired_items": [{"path": item["path"], "run": item["run"], "recorded": item["recorded"]} for item in doomed],
            "purge_retired_retention_s": int(outlook.retention.total_seconds()),
        },
    )
    return Proposal(drafts=(draft,), refusals=tuple(refusals))


def _notes(doomed: list[Retired], reader: Reader) -> list[str]:
    """Return what a reader of the preview must know of single paths. Not part of the change records: it may differ on the next look."""
    notes = [note for item in doomed if (note := _note(item)) is not None]
    # What lies in another goes with that one, its folder as well.
    return notes + [note for item in doomed if _top_of(item, doomed) is None and (note := _folder_stays(item, reader)) is not None]


def _note(item: Retired) -> str | None:
    begun = item["purging"]
    if begun is not None:
        left = "" if begun["size"] is None else f" ({begun['entries']} entries, {begun['size']} bytes)"
        return f"{item['path']}: {begun['run']} deleted a part of it already, the step deletes what is left in {begun['aside']}{left}"
    if item["fingerprint"] is None:
        return f"{item['path']} is too large to be compared in a preview: the step compares it before it deletes anything"
    return None


def _folder_stays(item: Retired, reader: Reader) -> str | None:
    covered_by = () if _is_put_aside(item) else reach(item, reader).covered_by
    if not covered_by:
        return None
    return f"{item['path']}: all that is in it goes, the empty folder stays for a mount of {', '.join(covered_by)} to stand on"


def _kept(retired: list[Retired], reader: Reader, outlook: Outlook) -> dict[str, str]:
    """Return by path why it is not purged now."""
    own = {item["path"]: reason for item in retired if (reason := _reason_to_keep(item, outlook)) is not None}
    tops = {item["path"]: _top_of(item, retired) for item in retired}
    found = dict(own)
    for item in retired:
        path = item["path"]
        young = [inner for inner in retired if item["purging"] is None and tops[inner["path"]] is item and _too_young(inner, outlook)]
        if path not in own and tops[path] is None and (reason := _in_the_way(item, reader, young)):
            found[path] = reason
    for item in retired:
        top = tops[item["path"]]
        if top is not None and top["path"] in found and item["path"] not in own:
            found[item["path"]] = f"lies in {top['path']}, which {top['run']} retired as well, and goes with that one alone"
    return {item["path"]: found[item["path"]] for item in retired if item["path"] in found}


def _top_of(item: Retired, retired: list[Retired]) -> Retired | None:
    """Return the outermost of the retired trees in which one lies, None where in none. What was begun is ended by itself."""
    if item["purging"] is not None:
        return None
    return min((one for one in retired if is_below(item["path"], one["path"])), key=lambda one: len(one["path"]), default=None)


def _in_the_way(item: Retired, reader: Reader, young: list[Retired]) -> str | None:
    """Return who uses a tree, or what in it is too young to go with it."""
    if young:
        return f"holds {', '.join(inner['path'] for inner in young)}, which was retired later and is kept still"
    if _is_put_aside(item):
        return None
    try:
        return "; ".join(reach(item, reader).against) or None
    except Unobserved as doubt:
        return f"could not be observed: {doubt}"


def _is_put_aside(item: Retired) -> bool:
    return item["purging"] is not None and item["purging"]["aside"] != item["path"]


def _reason_to_keep(item: Retired, outlook: Outlook) -> str | None:
    if item["purging"] is not None:
        return _unknown_remains(item, item["purging"])
    if item["unreadable"] is not None:
        return f"could not be observed: its present content can't be read: {item['unreadable']}"
    if item["fingerprint"] not in (None, item["recorded"]):
        return "differs from what was retired: something has written there since, so look at it first"
    return _too_young(item, outlook)


def _unknown_remains(item: Retired, begun: Purging) -> str | None:
    if item["exists"]:
        return f"{begun['aside']} is there as well: look at both, and move the latter away or remove it yourself"
    if begun["run"] is None:
        told = f"{begun['aside']} is there, and no journal on the host says that it is what {item['run']} retired"
        return f"{told}: look at it, and move it away or remove it yourself"
    return None


def _too_young(item: Retired, outlook: Outlook) -> str | None:
    try:
        retired_at = datetime.fromisoformat(item["retired_at"].replace("Z", "+00:00"))
    except ValueError:
        return f"has no readable date of retirement ({item['retired_at']})"
    if retired_at.tzinfo is None:
        return f"has a date of retirement without its timezone ({item['retired_at']})"
    if outlook.now - retired_at < outlook.retention:
        return f"is kept until {(retired_at + outlook.retention).isoformat(timespec='seconds')} (site.yml, retention)"
    return None


CAPABILITY = Capability(id=ID, role="purge_retired", propose=_propose, only_by_name=True)
