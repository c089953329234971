"""What a board shows around the judgement: waves, promotions, how checks fared over time, how findings are linked, and what of it can't be read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from controlplane.domain.board import BoardDoubts, BoardGovernance, BoardLink, BoardPoint, BoardPromotion, BoardTrend
from controlplane.domain.errors import ControlPlaneError
from controlplane.domain.finding import Verdict
from controlplane.domain.gates.catalogue import gated_checks
from controlplane.domain.gates.run_order import beginnings
from controlplane.domain.governance import Governance
from controlplane.domain.receipt import Receipt
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock
from controlplane.ports.gates import CheckerDigests, GateRunStore
from controlplane.ports.plans import PlanArchive
from controlplane.ports.receipts import ReceiptStore
from controlplane.ports.waves import WaveFolder, WaveStore
from controlplane.usecases.board_releases import releases_of
from controlplane.usecases.board_waves import board_waves
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
        waves=board_waves(site, governance, waves.waves(), chain, folder, now=clock.now()),
        promotions=tuple(
            BoardPromotion(check=one.check, host=one.host, mode=one.mode, streak=one.streak, wanted=one.wanted, held_by=one.held_by) for one in judged
        ),
        trends=tuple(_trend(one.check, one.host, runs) for one in judged if one.runs),
        links=_links(governance),
        releases=releases_of(governance, chain, plans.get) if chain is not None else (),
        doubts=doubts_of(governance, chain),
    )


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


def doubts_of(governance: Governance, chain: Sequence[Receipt] | None) -> BoardDoubts:
    """Return what keeps parts of the board from being told whole; `chain` is None where it can't be read."""
    unread = ("what was brought where is in the receipts, and they can't be read",) if chain is None and governance.releases else ()
    return BoardDoubts(
        waves=tuple(map(str, (*governance.wave_faults, *governance.gate_faults))),
        links=tuple(map(str, governance.register_faults)),
        releases=(*map(str, governance.release_faults), *unread),
    )
