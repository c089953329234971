"""Judge hosts on fresh evidence, and have MET findings confirmed by a second witness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.domain.checks import judge_host
from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.finding import AuditReport, Finding, HostSeen, summarise
from controlplane.domain.site_view import SiteView
from controlplane.domain.witness import Question, judge_answers, questions_for
from controlplane.ports import Witness


def judge_site(site: SiteView, *, hosts: tuple[str, ...], seen: Mapping[str, Evidence | Unreached], now: datetime) -> AuditReport:
    """Return the report on the named hosts, by evidence alone."""
    findings: list[Finding] = []
    for desired, _ in site.chosen(hosts):
        findings += judge_host(
            desired, seen.get(desired.host, Unreached(host=desired.host, reason="it was not asked")), now=now, max_age=site.max_age
        )
    return _report(site, hosts, seen, tuple(findings), now)


def judge_by_two(site: SiteView, *, hosts: tuple[str, ...], seen: Mapping[str, Evidence | Unreached], now: datetime, witness: Witness) -> AuditReport:
    """Return the report on the named hosts; a MET that live machines do not confirm is UNKNOWN."""
    first = judge_site(site, hosts=hosts, seen=seen, now=now)
    questions: list[Question] = []
    for desired, _ in site.chosen(hosts):
        evidence = seen.get(desired.host)
        if isinstance(evidence, Evidence):
            try:
                questions += questions_for(desired, Reader(evidence), first.findings)
            except Unobserved:
                continue  # a probe that fails here has turned its findings UNKNOWN already: nothing to confirm
    asked = {question.host for question in questions}
    answers = witness.answer([route for _, route in site.chosen(tuple(sorted(asked)))], questions) if asked else ()
    return _report(site, hosts, seen, judge_answers(first.findings, answers), now)


def _report(
    site: SiteView, hosts: Sequence[str], seen: Mapping[str, Evidence | Unreached], findings: tuple[Finding, ...], now: datetime
) -> AuditReport:
    rows = []
    for desired, _ in site.chosen(tuple(hosts)):
        evidence = seen.get(desired.host)
        if isinstance(evidence, Evidence):
            rows.append(HostSeen(host=desired.host, reached=True, collected_at=evidence.collected_at, evidence_digest=evidence.digest()))
        else:
            rows.append(HostSeen(host=desired.host, reached=False, collected_at=None, evidence_digest=None))
    return AuditReport(
        site=site.name,
        policy_digest=site.policy_digest,
        judged_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        summary=summarise(findings),
        hosts=tuple(rows),
        findings=findings,
    )
