"""A wave's closeout receipt as Markdown: what a reviewer reads."""

from __future__ import annotations

from controlplane.domain.waves.closeout import Closeout
from controlplane.domain.waves.record import Planned
from controlplane.render.markdown import plain, seconds, table, yes


def closeout_page(closeout: Closeout) -> bytes:
    """Return the page as UTF-8."""
    lines = [f"# Wave {closeout.wave}: {plain(closeout.outcome)}", "", plain(closeout.goal), ""]
    lines += table(("", ""), [("Site", closeout.site), ("Attempt", closeout.attempt), ("Opened", f"{closeout.opened_at} by {closeout.opened_by}")])
    lines += ["## Evidence", ""]
    lines += table(("Run", "After", "Passed", "Result"), [(one.run, one.after, yes(one.passed), one.reason) for one in closeout.evidence])
    looks = [
        (what, seen.at, seen.file, ", ".join(f"{host} {digest}" for host, digest in seen.evidence.items()))
        for what, seen in (("before", closeout.preflight), ("after", closeout.post))
        if seen
    ]
    lines += table(("Looked", "At", "File", "Evidence"), looks)
    lines += ["## Gates", ""]
    lines += table(("Phase", "Gate", "Verdict", "Reason"), [(one.phase, one.what, one.verdict, one.reason) for one in closeout.gates])
    lines += ["## Files changed", ""]
    lines += table(("Commit", "What", "Files"), [(one.commit or "-", one.title, ", ".join(one.files)) for one in closeout.files_changed])
    lines += ["## Plans", "", "Each step and how it is taken back stand in the file.", ""]
    lines += table(
        ("Plan", "File", "Steps", "Capabilities", "Deletes", "Approved for", "Run", "Outcome"),
        [
            (
                one.plan,
                one.file,
                str(one.steps),
                ", ".join(one.capabilities),
                ", ".join(one.destructive),
                _window(one),
                one.run or "",
                one.outcome or "not run",
            )
            for one in closeout.plans
        ],
    )
    lines += ["## Runtime actions", ""]
    lines += table(
        ("Receipt", "At", "Host", "Capability", "Outcome", "Downtime"),
        [(one.receipt, one.at, one.host, one.capability, one.outcome, seconds(one.downtime_s)) for one in closeout.actions],
    )
    lines += ["## Gaps and loops", ""]
    lines += table(
        ("Gap", "Status", "Recommended for closing", "Runs", "Objections"),
        [(one.gap, one.status, yes(one.recommended), ", ".join(one.runs), "; ".join(one.objections)) for one in closeout.gaps],
    )
    lines += table(("Loop", "Status", "Open gaps"), [(one.loop, one.status, ", ".join(one.open_gaps) or "none") for one in closeout.loops])
    count = closeout.verify
    lines += ["## Verify", "", f"{count.met} met, {count.drifted} drifted, {count.waived} waived, {count.unknown} unknown.", ""]
    lines += ["## Remaining blockers and what was deferred", ""]
    lines += table(
        ("Verdict", "Check", "Host", "Surface", "Reason"), [(o.verdict.value, o.check, o.host, o.surface, o.reason) for o in closeout.remaining]
    )
    carved = [(one.host, one.reason, one.receipt) for one in closeout.carved]
    lines += table(("Carved out", "Reason", "Receipt"), carved) if carved else []
    lines += ["Deferred:", "", *(f"- {plain(one)}" for one in closeout.deferred or ("nothing",)), ""]
    if closeout.outputs:
        lines += ["## Further outputs", "", *table(("Output", "Says"), list(closeout.outputs.items()))]
    said = closeout.attestation
    lines += ["## Attestation", "", f"{plain(said.text)}", "", f"{plain(said.by)}, {said.at}"]
    lines += ["", f"Chain of {closeout.chain_length} receipts, head `{closeout.chain_head or '-'}`.", ""]
    return "\n".join(lines).encode()


def _window(planned: Planned) -> str:
    if not planned.approved:
        return ""
    return f"{planned.opens} to {planned.closes}" if planned.closes else "any time"
