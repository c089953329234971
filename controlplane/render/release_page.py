"""A release's closeout receipt as Markdown: what a reviewer reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from controlplane.domain.releases.around import State, Stood, Unknown
from controlplane.domain.releases.closeout import PackAround, ReleaseCloseout
from controlplane.render.markdown import plain, seconds, table

_T = TypeVar("_T")


def release_page(closeout: ReleaseCloseout) -> bytes:
    """Return the page as UTF-8."""
    lines = [f"# Release of {plain(closeout.stack)} to {closeout.environment}: {plain(closeout.manifest)}", "", plain(closeout.goal), ""]
    rows = [("Site", closeout.site), ("Commit", closeout.commit), ("Manifest", closeout.digest), ("Attempt", closeout.attempt)]
    lines += table(("", ""), [*rows, *closeout.images.items()])
    lines += ["## Evidence", ""]
    lines += table(("Run", "What", "Outcome", "At"), [(one.run, one.what, one.outcome, one.at) for one in closeout.evidence])
    if closeout.packs:
        ran = [(one.run or "-", f"{one.pack}, {one.when}", _came_to(one), one.at or "-") for one in closeout.packs]
        lines += ["## The site's pack before and after", "", *table(("Run", "Pack", "Result", "At"), ran)]
    if closeout.before is not None and closeout.after is not None:
        lines += ["## Before and after", "", *_around(closeout.before, closeout.after)]
    lines += ["## Files changed", ""]
    lines += table(("Commit", "What", "Files"), [(one.commit or "-", one.title, ", ".join(one.files)) for one in closeout.files_changed])
    lines += ["## Runtime actions", ""]
    done = [(one.receipt, one.at, one.host, one.manifest or "-", one.outcome, seconds(one.downtime_s)) for one in closeout.actions]
    lines += table(("Receipt", "At", "Host", "Manifest", "Outcome", "Downtime"), done)
    lines += ["## Gaps and loops", ""]
    lines += [f"Loop of the release: {plain(closeout.own_loop or 'none')}; open gaps in it: {plain(', '.join(closeout.own_gaps) or 'none')}.", ""]
    lines += table(("Open in the site", "Title", "Loops"), [(one.gap, one.title, ", ".join(one.loops)) for one in closeout.open_gaps])
    lines += [f"Open loops: {plain(', '.join(closeout.open_loops) or 'none')}.", ""]
    count = closeout.verify
    lines += ["## Verify", "", f"{count.met} met, {count.drifted} drifted, {count.waived} waived, {count.unknown} unknown.", ""]
    lines += ["## Remaining blockers and what was deferred", ""]
    left = [(one.verdict.value, one.check, one.host, one.surface, one.reason) for one in closeout.remaining]
    lines += table(("Verdict", "Check", "Host", "Surface", "Reason"), left)
    lines += ["A rollback would not undo:", "", *(f"- {plain(one)}" for one in closeout.not_undone or ("nothing that the manifest names",)), ""]
    lines += ["Deferred:", "", *(f"- {plain(one)}" for one in closeout.deferred or ("nothing",)), ""]
    said = closeout.attestation
    lines += ["## Attestation", "", plain(said.text), "", f"{plain(said.by)}, {said.at}"]
    lines += ["", f"Chain of {closeout.chain_length} receipts, head `{closeout.chain_head or '-'}`.", ""]
    return "\n".join(lines).encode()


def _around(before: Stood, after: Stood) -> list[str]:
    """Return what ran where, gaps, loops and authority status, side by side, and why what is UNKNOWN is."""
    names = dict.fromkeys(one.host for stood in (before, after) if isinstance(stood.state, State) for one in stood.state.hosts)
    looks: list[tuple[str, Callable[[Stood], str]]] = [
        ("Seen at", lambda stood: stood.at or "-"),
        *((f"Runs on {name}", partial(_runs_on, name)) for name in names),
        ("Verdicts", lambda stood: _or_unknown(stood.state, lambda state: _counted(state.results.values()))),
        ("Open gaps", lambda stood: _or_unknown(stood.gaps, lambda gaps: ", ".join(one.gap for one in gaps) or "none")),
        ("Open loops", lambda stood: _or_unknown(stood.loops, lambda loops: ", ".join(loops) or "none")),
        ("Authority status", lambda stood: _or_unknown(stood.authority, lambda said: "; ".join((said.verdict, *said.wanting)))),
    ]
    lines = table(("", "Before", "After"), [(what, look(before), look(after)) for what, look in looks])
    for when, stood in (("before", before), ("after", after)):
        parts = {why: ", ".join(part for part, said in stood.why.items() if said == why) for why in stood.why.values()}
        lines += [line for why, named in parts.items() for line in (f"UNKNOWN {when} ({named}): {plain(why)}.", "")]
    return lines


def _runs_on(name: str, stood: Stood) -> str:
    def told(state: State) -> str:
        one = next((one for one in state.hosts if one.host == name), None)
        return f"{one.manifest or 'nothing'}: {one.verdict or '-'}: {one.reason}" if one is not None else "was no host of it"

    return _or_unknown(stood.state, told)


def _or_unknown(said: _T | Unknown, told: Callable[[_T], str]) -> str:
    return "UNKNOWN" if said == "UNKNOWN" else told(said)


def _counted(verdicts: Iterable[str]) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in sorted(Counter(verdicts).items()))


def _came_to(pack: PackAround) -> str:
    """Return what a run came to, with how often each verdict was given."""
    if pack.run is None:
        return "no run is on record"
    return f"{'passed' if pack.passed else 'not passed'}: {_counted(pack.results.values()) or 'it judged no check'}"
