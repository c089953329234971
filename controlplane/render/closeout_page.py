"""A closeout receipt as Markdown: what a reviewer reads. Names and reasons are data; what Markdown would read as syntax is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from controlplane.domain.waves.closeout import Closeout
from controlplane.domain.waves.record import Planned

_SYNTAX = re.compile(r"([\\`*_{}\[\]<>#|!~&])")
# What Markdown takes for a list, a heading's underline or a rule where a line begins with it.
_LEADING = re.compile(r"^(?:[-+=]|\d+[.)])")


def closeout_page(closeout: Closeout) -> bytes:
    """Return the page as UTF-8."""
    lines = [f"# Wave {closeout.wave}: {_plain(closeout.outcome)}", "", _plain(closeout.goal), ""]
    lines += _table(("", ""), [("Site", closeout.site), ("Attempt", closeout.attempt), ("Opened", f"{closeout.opened_at} by {closeout.opened_by}")])
    lines += ["## Evidence", ""]
    lines += _table(("Run", "After", "Passed", "Result"), [(one.run, one.after, _yes(one.passed), one.reason) for one in closeout.evidence])
    looks = [
        (what, seen.at, seen.file, ", ".join(f"{host} {digest}" for host, digest in seen.evidence.items()))
        for what, seen in (("before", closeout.preflight), ("after", closeout.post))
        if seen
    ]
    lines += _table(("Looked", "At", "File", "Evidence"), looks)
    lines += ["## Gates", ""]
    lines += _table(("Phase", "Gate", "Verdict", "Reason"), [(one.phase, one.what, one.verdict, one.reason) for one in closeout.gates])
    lines += ["## Files changed", ""]
    lines += _table(("Commit", "What", "Files"), [(one.commit or "-", one.title, ", ".join(one.files)) for one in closeout.files_changed])
    lines += ["## Plans", "", "Each step and how it is taken back stand in the file.", ""]
    lines += _table(
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
    lines += _table(
        ("Receipt", "At", "Host", "Capability", "Outcome", "Downtime"),
        [(one.receipt, one.at, one.host, one.capability, one.outcome, _seconds(one.downtime_s)) for one in closeout.actions],
    )
    lines += ["## Gaps and loops", ""]
    lines += _table(
        ("Gap", "Status", "Recommended for closing", "Runs", "Objections"),
        [(one.gap, one.status, _yes(one.recommended), ", ".join(one.runs), "; ".join(one.objections)) for one in closeout.gaps],
    )
    lines += _table(("Loop", "Status", "Open gaps"), [(one.loop, one.status, ", ".join(one.open_gaps) or "none") for one in closeout.loops])
    count = closeout.verify
    lines += ["## Verify", "", f"{count.met} met, {count.drifted} drifted, {count.waived} waived, {count.unknown} unknown.", ""]
    lines += ["## Remaining blockers and what was deferred", ""]
    lines += _table(
        ("Verdict", "Check", "Host", "Surface", "Reason"), [(o.verdict.value, o.check, o.host, o.surface, o.reason) for o in closeout.remaining]
    )
    carved = [(one.host, one.reason, one.receipt) for one in closeout.carved]
    lines += _table(("Carved out", "Reason", "Receipt"), carved) if carved else []
    lines += ["Deferred:", "", *(f"- {_plain(one)}" for one in closeout.deferred or ("nothing",)), ""]
    if closeout.outputs:
        lines += ["## Further outputs", "", *_table(("Output", "Says"), list(closeout.outputs.items()))]
    said = closeout.attestation
    lines += ["## Attestation", "", f"{_plain(said.text)}", "", f"{_plain(said.by)}, {said.at}"]
    lines += ["", f"Chain of {closeout.chain_length} receipts, head `{closeout.chain_head or '-'}`.", ""]
    return "\n".join(lines).encode()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["None.", ""]
    body = [f"| {' | '.join(_plain(cell) or '-' for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'|'.join(' --- ' for _ in head)}|", *body, ""]


def _plain(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return _LEADING.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", _SYNTAX.sub(r"\\\1", " ".join(shown.split())))


def _window(planned: Planned) -> str:
    if not planned.approved:
        return ""
    return f"{planned.opens} to {planned.closes}" if planned.closes else "any time"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _seconds(downtime: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(downtime.items()))
