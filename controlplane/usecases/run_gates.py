"""gates run: judge a pack on fresh evidence, and put on record what it found and by what it was judged.

Rules:
- The site's own checks run in the same pack and are judged alike: UNKNOWN never passes.
- A run is on record with the digests of policy, checker and host that it judged, so that a streak is never made of different things. The report
  has them too, and the receipt holds its digest: what the store says is believed as far as that bears it out (`proven_runs`).
- A run that ends in an error is on record as one that could judge nothing; one that was stopped by a person is not, and is run again.
- A waiver of which it sees a limit crossed is over for good: the receipt says so, however the run ends, and every later judgement reads it there.
- A controller whose clock is behind is refused before it begins: its run would stand among others where it does not belong.
- Nothing on a host is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from controlplane.domain.checks import CHECKS
from controlplane.domain.coordination import GateResult, GateRun
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import ControlPlaneError, Fault, InputInvalidError, InterruptedRunError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.facts import facts_digest
from controlplane.domain.finding import Finding, summarise
from controlplane.domain.gates.marks import marked
from controlplane.domain.gates.passing import passings
from controlplane.domain.gates.report import GateReport
from controlplane.domain.gates.values import SITE
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.domain.waiver_ends import WaiverEnd, ends_of
from controlplane.ports.clocks import Clock, Entropy, SiteTime
from controlplane.ports.gates import CheckerDigests, GateReports, GateRunStore, SiteChecks
from controlplane.ports.hosts import EvidenceSource
from controlplane.ports.receipts import ReceiptStore
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.audit import judge, refuse_one_machine_twice
from controlplane.usecases.record_run import STAMP, Ledger
from controlplane.usecases.watch_waivers import as_told, crossed_now

ID = "verify.pack.run"
# The pack of a run that was asked for no pack by name: every check that is judged by default, and the site's own.
ALL = "all"
# The digest of a host that gave no evidence.
_UNREACHED = "unreached"


@dataclass(frozen=True)
class GatePorts:
    """Everything that a run of gates touches."""

    clock: Clock
    entropy: Entropy
    evidence: EvidenceSource
    site_checks: SiteChecks
    receipts: ReceiptStore
    reports: GateReports
    runs: GateRunStore
    checkers: CheckerDigests
    time: SiteTime


def run_gates(
    site: SiteView,
    *,
    pack: str | None,
    hosts: tuple[str, ...],
    operator: str,
    ports: GatePorts,
    seen: Mapping[str, Evidence | Unreached] | None = None,
    more: Sequence[str] = (),
) -> GateReport:
    """Return the report of a run on the named hosts, or all; `seen` is what was collected from them a moment ago, if it was.

    `more` are checks beyond the pack's, such as those that the gates of a wave name.

    Raises `InputInvalidError` for a pack or a host that there is not.
    """
    checks = tuple(dict.fromkeys((*checks_of(site, pack), *more)))
    begun = ports.clock.now()
    site = site.ending(ends_of([one for _, one in sound_chain(ports.receipts, now=begun)]))
    chosen = site.chosen(hosts)
    ports.time.assert_time(begun)
    key = make_run_key(ID, begun, ports.entropy.four_hex())
    ledger = Ledger(ports.receipts, ports.clock, run=key, site=site.name, plan="", policy=site.policy_digest, operator=operator)
    ledger.intend(key, host="*", capability=ID, step=pack or ALL)
    close = partial(ledger.close, key, host="*", capability=ID, step=pack or ALL)
    ended: list[WaiverEnd] = []
    try:
        made = _judged(site, key, pack, chosen, checks=checks, ports=ports, seen=seen, ended=ended)
    except InterruptedRunError as error:
        close(outcome="interrupted", reason=str(error), told=as_told(ended))
        raise
    except ControlPlaneError as error:
        # Where the store itself is what failed, the receipt alone says so.
        with suppress(ControlPlaneError):
            _keep_failed(site, key, pack, [desired.host for desired, _ in chosen], checks=checks, ports=ports, why=str(error))
        close(outcome="failed", reason=str(error), told=as_told(ended))
        raise
    failed = made.not_passed()
    close(
        outcome="failed" if failed else "done",
        reason="; ".join(f"{one.check} on {one.host}: {one.verdict}: {one.reason}" for one in failed) or None,
        evidence=made.digest(),
        told=as_told(ended),
    )
    return made


def _judged(
    site: SiteView,
    key: str,
    pack: str | None,
    chosen: Sequence[tuple[DesiredHost, InventoryHost]],
    *,
    checks: Sequence[str],
    ports: GatePorts,
    seen: Mapping[str, Evidence | Unreached] | None,
    ended: list[WaiverEnd],
) -> GateReport:
    """Judge, and keep the report and the run; `ended` is given the waivers that are seen to be crossed, before anything else may fail."""
    if seen is None:
        seen = ports.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    refuse_one_machine_twice(seen, [desired.host for desired, _ in chosen])
    now = ports.clock.now()
    ended += crossed_now([desired for desired, _ in chosen], seen, now=now, max_age=site.max_age)
    own = {name: held for name, held in site.gates.checks.items() if name in checks}
    builtin = frozenset(name for name in checks if name in CHECKS)
    report = judge(seen, [desired for desired, _ in chosen], only=builtin, site=site, now=now, max_age=site.max_age)
    found = ports.site_checks.run(own, [route for _, route in chosen]) if own else ()
    findings = (*report.findings, *marked(found, site.gates, site.registers))
    passing = passings(_in_order(findings, checks), site.registers)
    digests, mine = host_digests(seen), checks_of(site, pack)
    made = GateReport(
        site=report.site,
        policy_digest=report.policy_digest,
        judged_at=report.judged_at,
        summary=summarise(findings),
        hosts=report.hosts,
        findings=findings,
        run=key,
        pack=pack or ALL,
        passing=passing,
        silent=tuple(check for check in checks if not any(one.check == check for one in findings)),
        checkers={one.check: ports.checkers.of(one.check, own) for one in passing},
        facts=digests,
        ended=tuple(ended),
        more=tuple(check for check in checks if check not in mine),
    )
    ports.reports.keep(made)
    results = tuple(
        GateResult(check=one.check, host=one.host, verdict=one.verdict, passed=one.passed, reason=one.reason, checker=made.checkers[one.check])
        for one in passing
    )
    ran = GateRun(run=key, at=now.strftime(STAMP), pack=pack or ALL, policy=site.policy_digest, hosts=digests, results=results)
    ports.runs.add_run(ran, now=now)
    return made


def _keep_failed(site: SiteView, key: str, pack: str | None, hosts: Sequence[str], *, checks: Sequence[str], ports: GatePorts, why: str) -> None:
    """Keep a run that ended in an error as one in which nothing could be judged, so that no streak goes on over it."""
    own, now = site.gates.checks, ports.clock.now()
    results = tuple(
        GateResult(check=check, host=host, verdict="UNKNOWN", passed=False, reason=why, checker=ports.checkers.of(check, own))
        for check in checks
        # What is said of the site counts against every host that a check of the site's own looks at.
        for host in ((SITE,) if check in own else hosts)
    )
    digests = {SITE: SITE, **dict.fromkeys(hosts, _UNREACHED)}
    ports.runs.add_run(GateRun(run=key, at=now.strftime(STAMP), pack=pack or ALL, policy=site.policy_digest, hosts=digests, results=results), now=now)


def checks_of(site: SiteView, pack: str | None) -> tuple[str, ...]:
    """Return the checks of a pack; without a name all that are judged by default on some host, and the site's own."""
    if pack is None:
        return (*(name for name, check in CHECKS.items() if any(map(check.by_default, site.desired.hosts))), *site.gates.checks)
    if pack not in site.gates.packs:
        known = ", ".join(site.gates.packs) or "none"
        raise InputInvalidError([Fault("PACK", 0, "", f"there is no pack {pack} in {site.folder}/gates.yml; there are {known}")])
    return site.gates.packs[pack].checks


def host_digests(seen: Mapping[str, Evidence | Unreached]) -> dict[str, str]:
    """Return what each host was, by the facts of its evidence; one that gave none is what nothing else is."""
    found = {host: facts_digest(one) if isinstance(one, Evidence) else _UNREACHED for host, one in seen.items()}
    return {SITE: SITE, **found}


def _in_order(findings: Sequence[Finding], checks: Sequence[str]) -> list[Finding]:
    return sorted(findings, key=lambda one: checks.index(one.check))
