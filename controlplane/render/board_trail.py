"""What is on record: receipts and whether they hold, open runs, the last verification of each host, waves, promotion and links."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.board import BoardGate, BoardGovernance, BoardLink, BoardPromotion, BoardTrail, BoardVerified, BoardWave
from controlplane.domain.receipt import Receipt
from controlplane.domain.run_list import RunRow
from controlplane.render.board_words import alarm, badge, many, nothing, section, table, when
from controlplane.render.html import Child, Html, el


def receipts_section(trail: BoardTrail) -> Html:
    """Return the end of the chain, what is open, and how it holds."""
    if trail.unreadable is not None:
        return section("receipts", "Receipts", alarm("The chain can't be read", [trail.unreadable]))
    listed = table(
        "The newest receipts, newest first",
        ["No.", "At", "Phase", "Outcome", "Host", "Capability", "Key"],
        [_receipt(one) for one in trail.newest],
        name="receipts",
    )
    return section(
        "receipts",
        "Receipts",
        _holds(trail),
        el("h3", "Open runs"),
        el("ul", [_open(one) for one in trail.open_runs], class_="open-runs") if trail.open_runs else nothing("No run is open."),
        el("h3", "Last verified by a run"),
        _verified(trail.verified, trail.packs),
        el("h3", f"The last {len(trail.newest)} of {trail.total}") if trail.newest else None,
        listed if trail.newest else nothing("No receipts yet: nothing was changed from this site's state folder."),
    )


def _holds(trail: BoardTrail) -> Html:
    if trail.faults:
        return alarm(f"The chain does not hold: {many(len(trail.faults), 'fault')}", [f"{fault.file}: {fault.reason}" for fault in trail.faults])
    signed = "and every signature fits" if trail.has_signers else "signatures are not checked: site.yml names no allowed_signers"
    if not trail.total:
        return el("p", "The chain is empty", "." if trail.has_signers else f"; {signed}.", class_="lead")
    return el(
        "p",
        el("b", "✓ The chain holds"),
        f": {many(trail.total, 'receipt')} name each other without a gap",
        f", {signed}." if trail.has_signers else f"; {signed}.",
    )


def _open(row: RunRow) -> Html:
    return el(
        "li", el("b", "▲ open "), el("code", row.key), f" {row.capability} on {row.host}, since ", when(row.begun_at), el("p", row.next, class_="dim")
    )


def _verified(rows: Sequence[BoardVerified], packs: Sequence[Receipt]) -> Html:
    known = [one for one in rows if one.receipt is not None]
    never = [one.host for one in rows if one.receipt is None]
    told = table(
        "The newest result on record: of a host what rests on fresh evidence, of a pack its last run that nobody stopped",
        ["Host or pack", "At", "By", "Outcome", "Holds until", "Key"],
        [*(_verify(one.host, one.receipt) for one in known if one.receipt), *(_verify(f"pack {one.step}", one) for one in packs)],
        name="verified",
    )
    missing = el("p", "? No verified run on record for ", [[el("code", host), " "] for host in never], class_="none") if never else None
    note = el("p", "Runs, packs and 'ready' leave receipts; 'verify' by itself leaves none.", class_="dim")
    return el("div", told if known or packs else None, missing, note)


def _verify(host: str, receipt: Receipt) -> list[Child]:
    until = when(receipt.expires_at) if receipt.expires_at else "–"
    return [el("code", host), when(receipt.at), receipt.capability, receipt.outcome or "none", until, el("code", receipt.key)]


def _receipt(one: Receipt) -> list[Child]:
    host = "all of the run" if one.host == "*" else el("code", one.host)
    return [str(one.seq), when(one.at), one.phase, one.outcome or "–", host, one.capability, el("code", one.key)]


def waves_section(waves: Sequence[BoardWave], doubt: Sequence[str] = ()) -> Html:
    """Return each wave with its gates; `doubt` says why not all of them are known."""
    if not waves and not doubt:
        return section("waves", "Waves", nothing("No waves: this site has no waves/ folder."))
    unread = alarm("The files of the waves can't be read: of them only those are shown that go on", doubt) if doubt else None
    return section("waves", "Waves", unread, [_wave(one) for one in waves])


def _wave(wave: BoardWave) -> Html:
    about = [("State", wave.state), ("Mutation", wave.mutation), ("Hosts", ", ".join(wave.hosts) or "none"), ("Window", wave.window or "none")]
    rows = [_gate(gate) for gate in wave.gates]
    gates = table(f"Gates of {wave.id}", ["Gate", "Of", "Verdict", "Reason"], rows, name="gates") if rows else nothing("No gates.")
    return el(
        "article",
        el("h3", wave.id),
        el("p", wave.goal, class_="lead"),
        el("dl", [el("div", el("dt", name), el("dd", said)) for name, said in about]),
        gates,
        class_="wave",
    )


def _gate(gate: BoardGate) -> list[Child]:
    return [gate.what, gate.phase, badge(gate.verdict), gate.reason]


def governance_section(given: BoardGovernance) -> Html:
    """Return how far promotion is, and what the registers link to."""
    promoted = [_promotion(one) for one in given.promotions]
    linked = [_link(one) for one in given.links]
    unread = alarm("The registers can't be read", given.doubts.links) if given.doubts.links else None
    return section(
        "governance",
        "Promotion and registers",
        el("h3", "From report to enforce"),
        table("Progress of each check and host", ["Check", "Host", "Mode", "Streak", "Held by"], promoted, name="promotions")
        if promoted
        else nothing("No promotion is under way: no check of this site has a streak on record."),
        el("h3", "Findings register"),
        table("What each finding links to", ["Finding", "Title", "Checks", "Gaps", "Loops", "Linkage"], linked, name="links")
        if linked
        else unread or nothing("No register: this site has no registers/ folder."),
    )


def _promotion(one: BoardPromotion) -> list[Child]:
    held = "; ".join(one.held_by) or ("nothing: an approval promotes it" if one.mode == "report" else "–")
    return [one.check, el("code", one.host), one.mode, f"{one.streak} of {one.wanted}", held]


def _link(one: BoardLink) -> list[Child]:
    return [
        one.stor,
        one.title,
        *(", ".join(names) or "none" for names in (one.checks, one.gaps, one.loops)),
        f"✗ {one.fault}" if one.fault else "✓ complete",
    ]
