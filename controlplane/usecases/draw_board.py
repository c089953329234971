"""board: one site as its people see it, from one collection or from a file of evidence.

What waves, promotion and registers know comes in as `BoardGovernance`; everything else is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from controlplane.domain.board import Board, BoardGovernance, BoardHost, BoardTrail, BoardVerified, Picture
from controlplane.domain.board_picture import picture_of
from controlplane.domain.checks import doubt_of
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault, InputInvalidError, RunFailedError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Finding
from controlplane.domain.receipt import Receipt
from controlplane.domain.run_list import run_rows
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock
from controlplane.ports.hosts import EvidenceSource
from controlplane.ports.receipts import AnchorSource, ReceiptStore
from controlplane.usecases.audit import judge, refuse_one_machine_twice
from controlplane.usecases.collect_evidence import collect_site
from controlplane.usecases.run_gates import ID as PACK_RUN
from controlplane.usecases.verify_receipts import trail_faults

# What a person looks through before turning to 'receipts list'.
NEWEST = 30
NOTHING = BoardGovernance()


def draw_live(
    site: SiteView,
    *,
    hosts: tuple[str, ...],
    clock: Clock,
    evidence: EvidenceSource,
    receipts: ReceiptStore,
    anchors: AnchorSource,
    governance: BoardGovernance = NOTHING,
) -> Board:
    """Collect once from the named hosts, or all, and return the board. Raises `InputInvalidError` for an unknown host."""
    seen = collect_site(site, hosts=hosts, evidence=evidence)
    return _board(site, seen, hosts=hosts, now=clock.now(), max_age=site.max_age, receipts=receipts, anchors=anchors, governance=governance)


def draw_offline(
    site: SiteView,
    *,
    hosts: tuple[str, ...],
    clock: Clock,
    seen: Mapping[str, Evidence | Unreached],
    receipts: ReceiptStore,
    anchors: AnchorSource,
    max_age: timedelta | None = None,
    governance: BoardGovernance = NOTHING,
) -> Board:
    """Return the board of the named hosts, or all, on evidence from a file; a host that the file lacks is UNKNOWN."""
    chosen = [desired.host for desired, _ in site.chosen(hosts)]
    if not any(host in seen for host in chosen):
        held = ", ".join(sorted(seen)) or "none"
        raise InputInvalidError([Fault("--evidence", 0, "", f"holds no host of {site.folder}/policy.yml that was asked for, only {held}")])
    return _board(
        site, seen, hosts=hosts, now=clock.now(), max_age=max_age or site.max_age, receipts=receipts, anchors=anchors, governance=governance
    )


def _board(
    site: SiteView,
    seen: Mapping[str, Evidence | Unreached],
    *,
    hosts: tuple[str, ...],
    now: datetime,
    max_age: timedelta,
    receipts: ReceiptStore,
    anchors: AnchorSource,
    governance: BoardGovernance,
) -> Board:
    desired = [one for one, _ in site.chosen(hosts)]
    refuse_one_machine_twice(seen, [one.host for one in desired])
    report = judge(seen, desired, only=None, site=site, now=now, max_age=max_age, digests=False)
    of_host: dict[str, list[Finding]] = {one.host: [] for one in desired}
    for finding in report.findings:
        of_host[finding.host].append(finding)
    return Board(
        report=report,
        hosts=tuple(_host(one, seen.get(one.host), of_host[one.host], now=now, max_age=max_age) for one in desired),
        trail=_trail(receipts, anchors, [one.host for one in desired], has_signers=site.has_signers),
        governance=governance,
    )


def _host(desired: DesiredHost, seen: Evidence | Unreached | None, findings: list[Finding], *, now: datetime, max_age: timedelta) -> BoardHost:
    one = seen or Unreached(host=desired.host, reason="there is no evidence of it")
    doubt = doubt_of(one, now=now, max_age=max_age) or None
    if isinstance(one, Unreached):
        return BoardHost(host=desired.host, tier=desired.tier, collected_at=None, doubt=doubt, picture=Picture(doubt=doubt))
    picture = picture_of(desired, one, findings, doubt=doubt)
    return BoardHost(host=desired.host, tier=desired.tier, collected_at=one.collected_at, doubt=doubt, picture=picture)


def _trail(receipts: ReceiptStore, anchors: AnchorSource, hosts: list[str], *, has_signers: bool) -> BoardTrail:
    try:
        named = receipts.load()
        faults = trail_faults(receipts, anchors)
    except (RunFailedError, InputInvalidError) as broken:
        # A board without its trail would be no board on the day on which it is needed most; a trail that can't be read is never shown as whole.
        return BoardTrail(unreadable=str(broken), has_signers=has_signers)
    chain = [receipt for _, receipt in named]
    return BoardTrail(
        total=len(chain),
        newest=tuple(reversed(chain[-NEWEST:])),
        faults=faults,
        has_signers=has_signers,
        verified=tuple(BoardVerified(host=host, receipt=_verified(chain, host)) for host in hosts),
        packs=_packs(chain),
        open_runs=tuple(row for row in run_rows(chain) if row.state == "open"),
    )


def _verified(chain: list[Receipt], host: str) -> Receipt | None:
    """Return the newest result that rests on fresh evidence of the host."""
    return next((one for one in reversed(chain) if one.host == host and one.phase == "result" and one.evidence is not None), None)


def _packs(chain: list[Receipt]) -> tuple[Receipt, ...]:
    """Return the newest result of each pack, by the packs' names, also of a run that an error ended; one that a person stopped says nothing of it."""
    newest = {one.step: one for one in chain if one.capability == PACK_RUN and one.phase == "result" and one.outcome != "interrupted"}
    return tuple(newest[pack] for pack in sorted(newest))
