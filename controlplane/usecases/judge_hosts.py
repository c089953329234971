"""Judge hosts on fresh evidence, and have MET findings confirmed by a second witness."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.finding import AuditReport, summarise
from controlplane.domain.site_view import SiteView
from controlplane.domain.witness import Question, judge_answers, questions_for
from controlplane.ports import Witness
from controlplane.usecases.audit import judge


def judge_site(site: SiteView, *, hosts: tuple[str, ...], seen: Mapping[str, Evidence | Unreached], now: datetime) -> AuditReport:
    """Return the report on the named hosts, by evidence alone."""
    return judge(seen, [desired for desired, _ in site.chosen(hosts)], only=None, site=site, now=now, max_age=site.max_age)


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
    findings = judge_answers(first.findings, answers)
    return first.model_copy(update={"findings": findings, "summary": summarise(findings)})
