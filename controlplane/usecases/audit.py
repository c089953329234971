"""audit: judge hosts by their policy, or any machine by what holds everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from controlplane.domain.checks import CHECKS, judge_host
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.finding import AuditReport, Finding, HostSeen, summarise
from controlplane.domain.gates.marks import marked
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.site_view import SiteView
from controlplane.ports.clocks import Clock
from controlplane.ports.hosts import EvidenceSource

# What a site says if it says nothing else.
GENERAL_MAX_AGE = timedelta(hours=1)


def audit_site(site: SiteView, *, hosts: tuple[str, ...], checks: tuple[str, ...], clock: Clock, evidence: EvidenceSource) -> AuditReport:
    """Collect from the named hosts, or all, and return the report. Raises `InputInvalidError` for an unknown host or check."""
    only = chosen_checks(checks)
    chosen = site.chosen(hosts)
    seen = evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    refuse_one_machine_twice(seen, [desired.host for desired, _ in chosen])
    return judge(seen, [desired for desired, _ in chosen], only=only, site=site, now=clock.now(), max_age=site.max_age)


def audit_offline(
    site: SiteView,
    *,
    hosts: tuple[str, ...],
    checks: tuple[str, ...],
    clock: Clock,
    seen: Mapping[str, Evidence | Unreached],
    max_age: timedelta | None = None,
    digests: bool = True,
) -> AuditReport:
    """Return the report on evidence from a file: on the named hosts, or on those that the file holds and the policy governs."""
    only = chosen_checks(checks)
    governed = site.desired.by_name()
    named = hosts or tuple(host for host in seen if host in governed)
    if not named:
        raise InputInvalidError([Fault("--evidence", 0, "", f"holds no host of {site.folder}/policy.yml, only {', '.join(sorted(seen)) or 'none'}")])
    chosen = [desired for desired, _ in site.chosen(named)]
    refuse_one_machine_twice(seen, [desired.host for desired in chosen])
    return judge(seen, chosen, only=only, site=site, now=clock.now(), max_age=max_age or site.max_age, digests=digests)


def audit_target(target: InventoryHost, *, checks: tuple[str, ...], clock: Clock, evidence: EvidenceSource) -> AuditReport:
    """Collect from one machine without a site and judge it by the general checks."""
    only = chosen_checks(checks)
    seen = evidence.collect([target], {})
    return judge(seen, [DesiredHost.general(target.name)], only=only, site=None, now=clock.now(), max_age=GENERAL_MAX_AGE)


def audit_evidence(
    host: str, *, checks: tuple[str, ...], clock: Clock, seen: Mapping[str, Evidence | Unreached], max_age: timedelta | None = None
) -> AuditReport:
    """Judge one host of a file by the general checks."""
    desired = [DesiredHost.general(host)]
    return judge(seen, desired, only=chosen_checks(checks), site=None, now=clock.now(), max_age=max_age or GENERAL_MAX_AGE)


def judge(
    seen: Mapping[str, Evidence | Unreached],
    hosts: Sequence[DesiredHost],
    *,
    only: frozenset[str] | None,
    site: SiteView | None,
    now: datetime,
    max_age: timedelta,
    digests: bool = True,
) -> AuditReport:
    """Return the report on hosts; one of which nothing is known is UNKNOWN.

    `site` None judges in general. Without `digests` the evidence's digests are None: they take as long as the judgement itself.
    """
    findings: list[Finding] = []
    rows: list[HostSeen] = []
    for desired in hosts:
        one = seen.get(desired.host) or Unreached(host=desired.host, reason="there is no evidence of it")
        findings += judge_host(desired, one, now=now, max_age=max_age, general=site is None, only=only)
        rows.append(_row(one, digests=digests))
    if site is not None:
        findings = list(marked(findings, site.gates, site.registers))
    return AuditReport(
        site=site.name if site else None,
        policy_digest=site.policy_digest if site else None,
        judged_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        summary=summarise(tuple(findings)),
        hosts=tuple(rows),
        findings=tuple(findings),
    )


def _row(one: Evidence | Unreached, *, digests: bool) -> HostSeen:
    if isinstance(one, Unreached):
        return HostSeen(host=one.host, reached=False, collected_at=None, evidence_digest=None)
    return HostSeen(host=one.host, reached=one.reached, collected_at=one.collected_at, evidence_digest=one.digest() if digests else None)


def refuse_one_machine_twice(seen: Mapping[str, Evidence | Unreached], hosts: Sequence[str]) -> None:
    """Raise `InputInvalidError` where two of the hosts turn out to be one machine: judged twice, one policy would undo the other."""
    known: dict[str, str] = {}
    for host in hosts:
        one = seen.get(host)
        try:
            machine = Reader(one).identity["machine_id"] if isinstance(one, Evidence) else ""
        except Unobserved:
            continue  # without its identity nothing of this host is decided but UNKNOWN
        if machine and machine in known:
            raise InputInvalidError(
                [
                    Fault(
                        "inventory",
                        0,
                        host,
                        f"is the same machine as {known[machine]} (machine-id {machine}): name it once, or give it an id of its own",
                    )
                ]
            )
        known[machine] = host


def chosen_checks(checks: tuple[str, ...]) -> frozenset[str] | None:
    """Return the named checks, None for those that are judged by default. Raises `InputInvalidError` for each that is none."""
    strange = [check for check in dict.fromkeys(checks) if check not in CHECKS]
    if strange:
        raise InputInvalidError([Fault("--check", 0, "", f"{check!r} is no check; there are {', '.join(CHECKS)}") for check in strange])
    return frozenset(checks) or None
