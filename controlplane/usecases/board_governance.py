"""What a board shows around the judgement: waves with their gates, promotions, how checks fared over time, and how findings are linked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from controlplane.domain.board import BoardGate, BoardGovernance, BoardLink, BoardPoint, BoardPromotion, BoardTrend, BoardWave
from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import ControlPlaneError
from controlplane.domain.finding import Verdict
from controlplane.domain.gates.catalogue import gated_checks
from controlplane.domain.gates.run_order import beginnings
from controlplane.domain.governance import Governance
from controlplane.domain.receipt import Receipt
from controlplane.domain.site_view import SiteView
from controlplane.domain.waves.gates import describe
from controlplane.domain.waves.record import record_of
from controlplane.domain.waves.values import Wave
from controlplane.domain.windows import next_opening, open_now
from controlplane.ports.clocks import Clock
from controlplane.ports.gates import CheckerDigests, GateRunStore
from controlplane.ports.plans import PlanArchive
from controlplane.ports.receipts import ReceiptStore
from controlplane.ports.waves import WaveFolder, WaveStore
from controlplane.usecases.board_releases import releases_of
from controlplane.usecases.closed_waves import proven_state
from controlplane.usecases.gate_standings import history_of, standings

# As many columns as a page can hold.
_POINTS = 20


def governance_of(
    site: SiteView,
    governance: Governance,
    *,
    hosts: Sequence[str],
    waves: WaveStore,
    runs: GateRunStore,
    checkers: CheckerDigests,
    clock: Clock,
    receipts: ReceiptStore,
    plans: PlanArchive,
    folder: WaveFolder,
) -> BoardGovernance:
    """Return all of it for these hosts. A store that can't be read raises `ControlPlaneError`, as everything that asks it."""
    try:
        chain: list[Receipt] | None = [receipt for _, receipt in receipts.load()]
    except ControlPlaneError:
        # That the chain can't be read stands elsewhere on the board.
        chain = None
    began = beginnings(chain or ())
    stand = standings(site, checks=gated_checks(site.gates), hosts=hosts, runs=runs, checkers=checkers, began=began, now=clock.now())
    judged = [one for one in stand if one.runs or one.mode == "enforce"]
    return BoardGovernance(
        waves=_waves(site, governance, waves, clock, lambda held: _state(held, chain, folder)),
        promotions=tuple(
            BoardPromotion(check=one.check, host=one.host, mode=one.mode, streak=one.streak, wanted=one.wanted, held_by=one.held_by) for one in judged
        ),
        trends=tuple(_trend(one.check, one.host, runs) for one in judged if one.runs),
        links=_links(governance),
        releases=releases_of(governance, chain, plans.get) if chain is not None else (),
    )


def _state(held: WaveHeld, chain: Sequence[Receipt] | None, folder: WaveFolder) -> str:
    if chain is None:
        return f"{held.state} in the store alone, the receipts can't be read" if held.state == "closed" else held.state
    return proven_state(held, chain, folder.read)


def _trend(check: str, host: str, runs: GateRunStore) -> BoardTrend:
    points = [BoardPoint(at=one.at, verdict=Verdict(one.verdict)) for one in islice(history_of(runs, check, host), _POINTS)]
    return BoardTrend(check=check, host=host, points=tuple(reversed(points)))


def _links(governance: Governance) -> tuple[BoardLink, ...]:
    held = governance.registers
    if held is None:
        return ()
    return tuple(
        BoardLink(
            stor=row.id,
            title=held.findings[row.id].title,
            gaps=row.gaps,
            loops=row.loops,
            checks=held.findings[row.id].checks,
            fault="; ".join(row.faults) or None,
        )
        for row in governance.linkages()
    )


def _waves(site: SiteView, governance: Governance, store: WaveStore, clock: Clock, state_of: Callable[[WaveHeld], str]) -> tuple[BoardWave, ...]:
    try:
        known = governance.checked_waves()
    except ControlPlaneError:
        # The files' faults stand elsewhere; what was opened is shown all the same by 'wave list'.
        return ()
    held = {one.wave: one for one in store.waves()}
    now = clock.now()
    shown = []
    for name, wave in known.items():
        windows = wave.windows or site.windows
        opening = open_now(windows, timezone=site.timezone, now=now) or next_opening(windows, timezone=site.timezone, now=now)
        one = held.get(name)
        state = state_of(one) if one is not None else "not opened"
        shown.append(
            BoardWave(
                id=name,
                goal=wave.goal,
                state=state,
                mutation=wave.mutation,
                hosts=wave.seen,
                window=str(opening) if opening is not None else None,
                gates=_gates(wave, one, state),
            )
        )
    return tuple(shown)


def _gates(wave: Wave, held: WaveHeld | None, state: str) -> tuple[BoardGate, ...]:
    """Return the gates as they were judged; one that nobody asked yet is UNKNOWN, and so are those of a wave whose end nothing proves."""
    unproven = held is not None and held.state == "closed" != state
    judged = {(str(one.phase), one.what): one for one in (record_of(held.record).entry if held is not None and not unproven else ())}
    found = []
    for phase, gates in (("entry", wave.entry), ("exit", wave.exit)):
        for gate in gates:
            what = describe(gate)
            seen = judged.get((phase, what))
            if seen is not None:
                verdict, reason = Verdict(seen.verdict), seen.reason
            elif unproven:
                verdict, reason = Verdict.UNKNOWN, state
            elif state == "closed":
                verdict, reason = Verdict.MET, "held when the wave was closed"
            else:
                verdict, reason = Verdict.UNKNOWN, "not asked yet"
            found.append(BoardGate(phase="entry" if phase == "entry" else "exit", what=what, verdict=verdict, reason=reason))
    return tuple(found)
