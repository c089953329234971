"""Judge the gates of a wave: each is MET, DRIFTED (closed) or UNKNOWN, with its reason.

Rules:
- UNKNOWN never opens and never closes: what could not be observed is no pass, whatever else holds.
- A host that was carved out of the wave is not asked about at its end; it is named as what remains.
- What is named and was not judged is UNKNOWN, never a pass: a host outside of the wave, a surface that no finding speaks of.
- What holds for a time only (window, approval, undo, backup) is asked right before the change, the window again before each step of it.
- What changed the wave's hosts ends every streak: runs from before the last change say nothing of what it left. Which came first, the order of
  the receipts says (`changed`).
- Runs that follow each other too soon are one: closing runs the pack itself, and closing again proves nothing more. One that failed among them
  counts all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

from controlplane.domain.coordination import moment_of, stamp_of
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.passing import passings
from controlplane.domain.gates.promoted import Promoted
from controlplane.domain.gates.promotion import Judged, Standing, shown
from controlplane.domain.gates.values import SITE
from controlplane.domain.registers import Registers
from controlplane.domain.registers.deciding import undecided
from controlplane.domain.waves.changed import LastChange
from controlplane.domain.waves.gate_answers import Answer, enforced_by_approval, first, promotable
from controlplane.domain.waves.record import GateJudged, PackRan, Phase
from controlplane.domain.waves.values import AT_RUN, Gate, Wave


@dataclass(frozen=True)
class GateCase:
    """What gates are judged on. `findings` None: nothing was looked at. `history` are recorded runs by (check, host), newest first by the chain,
    without what passed at a time that is yet to come; those that are `interval` seconds apart count as several. `promoted` are the promotions that
    somebody approved, by (check, host).

    `window`, `approval`, `undo` and `backup` are answers that only the use case can give: None where they hold, else why they do not.
    """

    hosts: tuple[str, ...]
    carved: frozenset[str]
    findings: Sequence[Finding] | None
    registers: Registers | None
    history: Callable[[str, str], Iterable[Judged]]
    interval: int
    standings: Callable[[Sequence[str], Sequence[str]], Sequence[Standing]]
    closed_waves: Mapping[str, str]
    unlinked: Sequence[str]
    packs: Sequence[PackRan] = ()
    changed: LastChange | None = None
    promoted: Mapping[tuple[str, str], Promoted] = field(default_factory=dict)
    window: str | None = None
    approval: str | None = None
    undo: str | None = None
    backup: Callable[[int], Answer] = field(default=lambda _: ("UNKNOWN", "the site names no proof of a backup (site.yml, backup_gate)"))


def judge_gates(wave: Wave, phase: Phase, case: GateCase, *, at_run: bool | None = None) -> tuple[GateJudged, ...]:
    """Return how the gates of a phase stand; `at_run` only those that are asked before the change, or only the others."""
    gates = wave.entry if phase == "entry" else wave.exit
    return tuple(_judged(gate, phase, case) for gate in gates if at_run is None or (gate.kind in AT_RUN) == at_run)


def _judged(gate: Gate, phase: Phase, case: GateCase) -> GateJudged:
    out = [host for host in getattr(gate, "hosts", ()) if host in case.carved]
    if out and not _hosts(gate, case):
        return GateJudged(phase=phase, kind=gate.kind, what=describe(gate), verdict="MET", reason=f"carved out of the wave: {', '.join(out)}")
    verdict, reason = _JUDGES[gate.kind](gate, case)
    # Reasons quote machines: what a terminal would obey is left out.
    shown = "".join(letter if letter.isprintable() else " " for letter in reason)
    return GateJudged(phase=phase, kind=gate.kind, what=describe(gate), verdict=verdict, reason=shown)


def describe(gate: Gate) -> str:
    """Return a gate in words, as briefs, refusals and receipts show it."""
    plain = gate.model_dump(exclude_defaults=True, exclude={"kind"})
    told = ", ".join(f"{name} {' '.join(value) if isinstance(value, tuple) else value}" for name, value in plain.items())
    return f"{_TITLES[gate.kind]}{f': {told}' if told else ''}"


def _hosts(gate: Any, case: GateCase) -> tuple[str, ...]:
    # A gate about no host is about the site; about nothing it would pass.
    return tuple(host for host in (gate.hosts or case.hosts or (SITE,)) if host not in case.carved)


def _of(gate: Any, case: GateCase) -> list[Finding]:
    hosts = {*_hosts(gate, case), SITE}
    return [one for one in case.findings or () if one.check in gate.checks and one.host in hosts]


def _checks(gate: Any, case: GateCase) -> Answer:
    if case.findings is None:
        return "UNKNOWN", "nothing was looked at"
    found = passings(_of(gate, case), case.registers)
    missing = [f"{check} on {host}" for check in gate.checks for host in _hosts(gate, case) if not _said(found, check, host)]
    if missing:
        return "UNKNOWN", f"nothing was judged of {', '.join(missing)}"
    return first(
        [("UNKNOWN" if one.verdict == "UNKNOWN" else "DRIFTED", f"{one.check} on {one.host}: {one.reason}") for one in found if not one.passed]
    )


def _said(found: Sequence[Any], check: str, host: str) -> bool:
    return any(one.check == check and one.host in (host, SITE) for one in found)


def _met(gate: Any, case: GateCase) -> Answer:
    if case.findings is None:
        return "UNKNOWN", "nothing was looked at"
    judged = _of(gate, case)
    unjudged = [f"{check} on {host}" for check in gate.checks for host in _hosts(gate, case) if not _said(judged, check, host)]
    if unjudged:
        return "UNKNOWN", f"nothing was judged of {', '.join(unjudged)}"
    # What a check could not observe may hide the very surface that is asked about.
    own = [one for one in judged if one.verdict is Verdict.UNKNOWN or not gate.surfaces or any(fnmatchcase(one.surface, p) for p in gate.surfaces)]
    good = (Verdict.MET, Verdict.WAIVED) if gate.waived else (Verdict.MET,)
    silent = [one for one in gate.surfaces if not any(fnmatchcase(finding.surface, one) for finding in own)]
    silent += [f"{', '.join(gate.surfaces)} on {host}" for host in gate.hosts if host in _hosts(gate, case) and not _speaks(own, gate, host)]
    if gate.surfaces and silent:
        return "UNKNOWN", f"no finding speaks of {'; '.join(dict.fromkeys(silent))}"
    bad = [one for one in own if one.verdict not in good]
    return first(
        [("UNKNOWN" if one.verdict is Verdict.UNKNOWN else "DRIFTED", f"{one.check} {one.surface} on {one.host}: {one.reason}") for one in bad]
    )


def _speaks(own: Sequence[Finding], gate: Any, host: str) -> bool:
    return any(one.host in (host, SITE) and any(fnmatchcase(one.surface, p) for p in gate.surfaces) for one in own)


def _reported(gate: Any, case: GateCase) -> Answer:
    found: list[tuple[Literal["DRIFTED", "UNKNOWN"], str]] = []
    for check, host in _pairs(gate, case):
        last = next(iter(case.history(check, host)), None)
        if last is None:
            found.append(("DRIFTED", f"no recorded run judged {check} on {host}: controlplane gates run"))
        elif last.verdict == "UNKNOWN":
            found.append(("UNKNOWN", f"{check} on {host} was UNKNOWN in {last.run}: {last.reason}"))
    return first(found)


def _stable(gate: Any, case: GateCase) -> Answer:
    apart = timedelta(seconds=case.interval if gate.interval is None else gate.interval)
    return first([told for check, host in _pairs(gate, case) if (told := _unstable(check, host, gate.runs, apart, case)) is not None])


def _unstable(check: str, host: str, wanted: int, apart: timedelta, case: GateCase) -> tuple[Literal["DRIFTED", "UNKNOWN"], str] | None:
    """Return what keeps a check from having passed in so many runs so far apart, the newest of them first; None where nothing does."""
    counted: list[datetime] = []
    for run in case.history(check, host):
        at, after = moment_of(run.at), _after_change(run.run, run.at, case)
        if after is False:
            break
        if after is None and run.passed:
            continue
        if not run.passed:
            return "UNKNOWN" if run.verdict == "UNKNOWN" else "DRIFTED", f"{check} on {host} did not pass in {run.run}: {run.reason}"
        if not counted or counted[-1] - at >= apart:
            counted.append(at)
        if len(counted) == wanted:
            return None
    due = f", next from {stamp_of(counted[0] + apart)} on" if counted else ""
    return (
        "DRIFTED",
        f"{check} on {host} has {len(counted)} of {wanted} recorded runs{_since(case)}, {shown(apart)} apart: controlplane gates run{due}",
    )


def _after_change(run: str, at: str, case: GateCase) -> bool | None:
    return case.changed is None or case.changed.precedes(run, at)


def _since(case: GateCase) -> str:
    return "" if case.changed is None else f" since the last change at {case.changed}"


def _pairs(gate: Any, case: GateCase) -> list[tuple[str, str]]:
    return [(check, host) for check in gate.checks for host in _places(check, _hosts(gate, case), case)]


def _places(check: str, hosts: tuple[str, ...], case: GateCase) -> tuple[str, ...]:
    """Return where a check is judged, as its standings say: on these hosts, on the site where it looks at no machine, or on both."""
    stood = [one.host for one in case.standings([check], hosts)]
    # One that looks at machines has to have looked at each of these; one that nothing is on record of is asked of them too.
    return (SITE,) if stood == [SITE] else tuple(dict.fromkeys((*hosts, *stood)))


def _pack(gate: Any, case: GateCase) -> Answer:
    ran = [one for one in case.packs if one.pack == gate.pack and _after_change(one.run, one.at, case) is not False]
    if not ran:
        return "DRIFTED", f"pack {gate.pack} was not run after the last change: controlplane wave close runs it"
    last = ran[-1]
    if last.passed and _after_change(last.run, last.at, case) is None:
        return "UNKNOWN", f"nobody can say whether {last.run}, which these receipts lack, was{_since(case)}: controlplane wave close runs the pack"
    without = f", without {', '.join(sorted(case.carved))}, carved out of the wave" if case.carved else ""
    return ("MET", f"{last.run}{without}") if last.passed else ("UNKNOWN" if last.unknown else "DRIFTED", f"{last.run}: {last.reason}")


def _closed(gate: Any, case: GateCase) -> Answer:
    state = case.closed_waves.get(gate.wave)
    return ("MET", "closed") if state == "closed" else ("DRIFTED", f"{gate.wave} is {state or 'not opened yet'}")


def _linked(gate: Any, case: GateCase) -> Answer:
    del gate
    if case.registers is None:
        return "UNKNOWN", "no registers could be read"
    return first([("DRIFTED", fault) for fault in case.unlinked])


def _decided(gate: Any, case: GateCase) -> Answer:
    if case.registers is None:
        return "UNKNOWN", "no registers could be read"
    return first([("DRIFTED", told) for gap in gate.gaps if (told := undecided(case.registers, gap)) is not None])


def _promotable(gate: Any, case: GateCase) -> Answer:
    return promotable(gate.checks, case.standings(gate.checks, _hosts(gate, case)))


def _promoted(gate: Any, case: GateCase) -> Answer:
    return enforced_by_approval(gate.checks, case.standings(gate.checks, _hosts(gate, case)), case.promoted)


def _said_by(name: str) -> Callable[[Any, GateCase], Answer]:
    def judge(gate: Any, case: GateCase) -> Answer:
        del gate
        told: str | None = getattr(case, name)
        return ("MET", "holds") if told is None else ("DRIFTED", told)

    return judge


def _backup(gate: Any, case: GateCase) -> Answer:
    return case.backup(gate.max_age)


_JUDGES: dict[str, Callable[[Any, GateCase], Answer]] = {
    "checks": _checks,
    "met": _met,
    "reported": _reported,
    "stable": _stable,
    "pack": _pack,
    "closed": _closed,
    "linked": _linked,
    "decided": _decided,
    "promotable": _promotable,
    "promoted": _promoted,
    "window": _said_by("window"),
    "approval": _said_by("approval"),
    "undo": _said_by("undo"),
    "backup": _backup,
}
_TITLES = {
    "checks": "these checks pass in their mode",
    "met": "these checks are met",
    "reported": "these checks were judged by a recorded run",
    "stable": "these checks passed in the last recorded runs",
    "pack": "the pack passed after the last change",
    "closed": "another wave is closed",
    "linked": "every finding is linked, and every rule of the registers holds",
    "decided": "these gaps are fixed or accepted",
    "promotable": "these checks have earned to be enforced",
    "promoted": "these checks are enforced by a promotion that somebody approved",
    "window": "it is a maintenance window",
    "approval": "the plan is approved",
    "undo": "a rollback is prepared before each change",
    "backup": "a restorable backup is proven",
}
