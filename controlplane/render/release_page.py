"""A release's closeout receipt as Markdown: what a reviewer reads."""

from __future__ import annotations

from collections import Counter

from controlplane.domain.releases.closeout import PackAround, ReleaseCloseout
from controlplane.render.markdown import plain, seconds, table


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
    lines += ["## Files changed", ""]
    lines += table(("Commit", "What", "Files"), [(one.commit or "-", one.title, ", ".join(one.files)) for one in closeout.files_changed])
    lines += ["## Runtime actions", ""]
    done = [(one.receipt, one.at, one.host, one.outcome, seconds(one.downtime_s)) for one in closeout.actions]
    lines += table(("Receipt", "At", "Host", "Outcome", "Downtime"), done)
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


def _came_to(pack: PackAround) -> str:
    """Return what a run came to, with how often each verdict was given."""
    if pack.run is None:
        return "no run is on record"
    counted = ", ".join(f"{number} {verdict}" for verdict, number in sorted(Counter(pack.results.values()).items()))
    return f"{'passed' if pack.passed else 'not passed'}: {counted or 'it judged no check'}"
