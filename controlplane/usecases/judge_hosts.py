"""Judge hosts on fresh evidence, and have what it is sure of confirmed by a second witness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import AuditReport, Finding, summarise
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.site_view import SiteView
from controlplane.domain.witness import Question, contradicted, judge_answers, questions_for
from controlplane.ports.hosts import Witness
from controlplane.usecases.audit import GENERAL_MAX_AGE, judge


def judge_site(site: SiteView, *, hosts: tuple[str, ...], seen: Mapping[str, Evidence | Unreached], now: datetime) -> AuditReport:
    """Return the report on the named hosts, by evidence alone."""
    return judge(seen, [desired for desired, _ in site.chosen(hosts)], only=None, site=site, now=now, max_age=site.max_age)


def judge_by_two(site: SiteView, *, hosts: tuple[str, ...], seen: Mapping[str, Evidence | Unreached], now: datetime, witness: Witness) -> AuditReport:
    """Return the report on the named hosts; a verdict that live machines do not confirm is UNKNOWN."""
    return judge_by_two_told(site, hosts=hosts, seen=seen, now=now, witness=witness)[0]


def judge_by_two_told(
    site: SiteView, *, hosts: tuple[str, ...], seen: Mapping[str, Evidence | Unreached], now: datetime, witness: Witness
) -> tuple[AuditReport, tuple[Finding, ...]]:
    """Return the same report, and its findings that are UNKNOWN because a live machine says otherwise: of the other ones nobody could see."""
    return _confirmed(judge_site(site, hosts=hosts, seen=seen, now=now), site.chosen(hosts), seen=seen, witness=witness)


def judge_target_by_two(target: InventoryHost, *, seen: Mapping[str, Evidence | Unreached], now: datetime, witness: Witness) -> AuditReport:
    """Return the report on one machine without a site, by the general checks; a verdict that it does not confirm live is UNKNOWN."""
    desired = DesiredHost.general(target.name)
    first = judge(seen, [desired], only=None, site=None, now=now, max_age=GENERAL_MAX_AGE)
    return _confirmed(first, [(desired, target)], seen=seen, witness=witness)[0]


def _confirmed(
    first: AuditReport, chosen: Sequence[tuple[DesiredHost, InventoryHost]], *, seen: Mapping[str, Evidence | Unreached], witness: Witness
) -> tuple[AuditReport, tuple[Finding, ...]]:
    questions: list[Question] = []
    for desired, _ in chosen:
        evidence = seen.get(desired.host)
        if isinstance(evidence, Evidence):
            questions += questions_for(desired, evidence, first.findings)
    asked = {question.host for question in questions}
    answers = witness.answer([route for desired, route in chosen if desired.host in asked], questions) if asked else ()
    findings = judge_answers(first.findings, answers)
    return first.model_copy(update={"findings": findings, "summary": summarise(findings)}), contradicted(findings, answers)
