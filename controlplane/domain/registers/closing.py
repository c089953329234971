"""When a gap may be closed: what each finding that it serves still lacks, by recorded runs.

Rules:
- For every finding that names the gap, each of its checks has to be MET on each of its hosts, on every surface that belongs to it.
- Only the runs that are named count, and of those the latest that judged the check on that host. A later run that says otherwise is an objection.
- Which of two runs is the later one their receipts say (`run_order`): by its time one by a clock that ran ahead would hide what failed after it.
- A run speaks for a gap only where its receipt holds what it found. One that is dated later than now speaks for nothing, because a clock was wrong,
  and against a gap like any other.
- A run in which a check's file did not run to its end (UNKNOWN on the site) says so of every host.
- A surface that no recorded run ever showed is no evidence: its pattern may be misspelt.
- A surface that drifted and is gone is mended only where it went while policy and checker stayed the same: else it may not be asked for any more.
- A run speaks for 30 days.
- A finding that no check judges is a person's to decide: they say so by --attest.
- What a gap's criteria name is asked like its findings; what they say beyond that is a person's to state, by --met (`criteria`).
- The program recommends; a person closes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from pydantic import Field

from controlplane.domain.coordination import moment_of, stamp_of
from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.run_order import Begun, newest_first
from controlplane.domain.gates.values import SITE
from controlplane.domain.registers.criteria import asked_of
from controlplane.domain.registers.values import Gap, Registers, StorFinding
from controlplane.domain.values import Value

# How long a run speaks for what it found.
LASTS = timedelta(days=30)
# Stands where a finding's id does, for what the gap's own criteria ask.
CRITERIA = "criteria"


class RunReport(Value):
    """What one recorded run judged: its key, when, its findings, the digest of all that is on record of it, and by which policy and checkers.

    `checkers` are digests by check; of runs that were recorded before they were kept nobody knows them.
    """

    run: str
    at: str
    findings: tuple[Finding, ...]
    digest: str = ""
    policy: str | None = None
    checkers: dict[str, str] = Field(default={})

    def differs(self, other: RunReport, check: str) -> str | None:
        """Return what of a check's judgement is not that of another run: its policy or its checker; None where both are."""
        if self.policy != other.policy:
            return "policy"
        mine, its = self.checkers.get(check), other.checkers.get(check)
        return "checker" if mine is not None and its is not None and mine != its else None


class Criterion(Value):
    """One check on one host that a gap's closing rests on; `run` is the run that shows it, `objection` why it does not hold.

    `finding` is the STOR finding that asks for it, or `criteria` where the gap's own criteria do.
    """

    finding: str
    check: str
    host: str
    run: str | None = None
    objection: str | None = None


class Recommendation(Value):
    """Whether a gap may be closed. `unjudged` are findings that no check judges, `unstated` criteria that a person has to speak for."""

    gap: str
    findings: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    unjudged: tuple[str, ...] = ()
    unstated: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()

    @property
    def closable(self) -> bool:
        """Return whether recorded runs alone speak for it, and nothing against."""
        return not self.objections and not self.unjudged and not self.unstated

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the runs that it rests on, each once."""
        return tuple(dict.fromkeys(one.run for one in self.criteria if one.run is not None))


_Judged = dict[tuple[str, str], list[tuple[RunReport, list[Finding]]]]  # by check and host


@dataclass(frozen=True)
class Resting:
    """What a closing rests on: the site's registers, its recorded runs, its hosts, and the runs that a person named (none: whatever came last).

    `receipts` are the digests that the receipts of runs hold, by run; None where they were not asked. `began` says where the chain has each.
    `checks` are the ids of all checks that there are, which criteria may name.
    """

    registers: Registers
    reports: tuple[RunReport, ...]
    governed: tuple[str, ...]
    now: datetime
    named: tuple[str, ...] = ()
    receipts: Mapping[str, str] | None = field(default=None)
    began: Mapping[str, Begun] = field(default_factory=dict)
    checks: frozenset[str] = frozenset()

    def doubt(self, report: RunReport) -> str | None:
        """Return why a run does not speak for anything, or None."""
        if self.receipts is not None and self.receipts.get(report.run) != report.digest:
            return f"{report.run} {'has no receipt' if report.run not in self.receipts else 'is not what its receipt holds'}: run the gates again"
        if moment_of(report.at) < self.now - LASTS:
            return f"{report.run} is of {report.at}, more than {LASTS.days} days ago: run the gates again"
        return None

    @cached_property
    def ahead(self) -> tuple[str, ...]:
        """Return the runs that are dated later than now."""
        return tuple(one.run for one in self.reports if one.at > self._latest)

    @cached_property
    def judged(self) -> _Judged:
        """Return the runs that judged each check on each host, the newest first, each with what it found there; none that is dated later than now."""
        return _by_place([one for one in self._ordered if one.at <= self._latest])

    @cached_property
    def judged_ahead(self) -> _Judged:
        """Return the same of the runs that are dated later than now."""
        return _by_place([one for one in self._ordered if one.at > self._latest])

    def known(self, check: str, host: str) -> list[tuple[RunReport, list[Finding]]]:
        """Return the runs that judged a check on a host, the newest first; one in which its file broke is among them."""
        return self._with_broken(self.judged, check, host)

    def known_ahead(self, check: str, host: str) -> list[tuple[RunReport, list[Finding]]]:
        """Return the same of the runs that are dated later than now."""
        return self._with_broken(self.judged_ahead, check, host)

    def dropped(self, check: str, host: str) -> tuple[tuple[str, str], ...]:
        """Return (surface, objection) of each that was not met when it was last shown, and went when policy or checker changed."""
        if (check, host) not in self._dropped:
            self._dropped[check, host] = tuple(_dropped(check, self.known(check, host)))
        return self._dropped[check, host]

    @cached_property
    def _dropped(self) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
        return {}

    @cached_property
    def served(self) -> dict[str, tuple[str, ...]]:
        """Return the findings that name each gap."""
        found: dict[str, list[str]] = {}
        for name, finding in self.registers.findings.items():
            for gap in dict.fromkeys(finding.gaps):
                found.setdefault(gap, []).append(name)
        return {gap: tuple(names) for gap, names in found.items()}

    @cached_property
    def _ordered(self) -> list[RunReport]:
        return newest_first(self.reports, self.began)

    @cached_property
    def ages(self) -> dict[str, int]:
        """Return how many runs are newer than each, by the order of the receipts."""
        return {one.run: age for age, one in enumerate(self._ordered)}

    @cached_property
    def _latest(self) -> str:
        return stamp_of(self.now + BEHIND)

    def _with_broken(self, judged: _Judged, check: str, host: str) -> list[tuple[RunReport, list[Finding]]]:
        found, on_site = judged.get((check, host), []), judged.get((check, SITE), [])
        if host == SITE or not on_site:
            return found
        mine = {report.run for report, _ in found}
        doubts = [(report, [one for one in held if one.verdict is Verdict.UNKNOWN]) for report, held in on_site if report.run not in mine]
        return sorted((*found, *(one for one in doubts if one[1])), key=lambda one: self.ages[one[0].run])


def _by_place(reports: Sequence[RunReport]) -> _Judged:
    found: _Judged = {}
    for report in reports:
        by_place: dict[tuple[str, str], list[Finding]] = {}
        for one in report.findings:
            by_place.setdefault((one.check, one.host), []).append(one)
        for place, held in by_place.items():
            found.setdefault(place, []).append((report, held))
    return found


def _dropped(check: str, known: Sequence[tuple[RunReport, list[Finding]]]) -> Iterator[tuple[str, str]]:
    shown: set[str] = set()
    # The oldest of the runs after this one that observed all of it.
    looked: RunReport | None = None
    for report, held in known:
        here = {one.surface for one in held if one.verdict is not Verdict.UNKNOWN}
        for one in held:
            if one.verdict in (Verdict.MET, Verdict.UNKNOWN) or one.surface in shown or looked is None:
                continue
            changed = looked.differs(report, check)
            if changed is not None:
                gone = f"{one.surface} was {one.verdict} in {report.run}, and is gone since {looked.run}, for which the {changed} had changed"
                yield one.surface, f"{gone}: nothing shows that it was mended. Let it be judged again, then run the gates"
        shown |= here
        if all(one.verdict is not Verdict.UNKNOWN for one in held):
            looked = report


def recommend(gap: str, resting: Resting) -> Recommendation:
    """Return what speaks for and against closing a gap."""
    served, findings = resting.served.get(gap, ()), resting.registers.findings
    named, unstated = _of_criteria(resting.registers.gaps[gap], resting) if gap in resting.registers.gaps else ((), ())
    asked = tuple(dict.fromkeys([*((name, findings[name]) for name in served), *named]))
    places = [(name, finding, check, host) for name, finding in asked for check in finding.checks for host in _hosts_of(finding, check, resting)]
    criteria = [_criterion(place, resting) for place in places]
    objections = [f"{one.finding}: {one.check} on {one.host}: {one.objection}" for one in criteria if one.objection is not None]
    if not served:
        objections.append("no finding names it, so nothing shows that it is mended: link it to one, or accept it with a reason")
    unjudged = tuple(name for name, finding in asked if not finding.checks)
    placed = {name for name, *_ in places}
    objections += [f"{name}: the policy has no host to judge it on" for name, _ in asked if name not in unjudged and name not in placed]
    return Recommendation(gap=gap, findings=served, criteria=tuple(criteria), unjudged=unjudged, unstated=unstated, objections=tuple(objections))


def _of_criteria(gap: Gap, resting: Resting) -> tuple[tuple[tuple[str, StorFinding], ...], tuple[str, ...]]:
    """Return what recorded runs have to show for the gap's own criteria, and those that a person has to speak for."""
    hosts, findings = (*resting.governed, SITE), resting.registers.findings
    asked = [(text, asked_of(text, checks=resting.checks, hosts=hosts, findings=findings)) for text in gap.criteria]
    named = [(name, findings[name]) for _, one in asked for name in one.findings]
    # A check by itself is asked as a finding would that has no surface of its own.
    named += [(CRITERIA, StorFinding(title=text, severity="medium", checks=(check,), hosts=on)) for text, one in asked for check, on in one.checks]
    return tuple(named), tuple(text for text, one in asked if one.word)


def _hosts_of(finding: StorFinding, check: str, resting: Resting) -> tuple[str, ...]:
    on_site = resting.judged.get((check, SITE), [])
    if finding.hosts or not on_site:
        return finding.hosts or resting.governed
    # A check of the site's own that looks at no machine is judged on the site alone; one whose file broke was, until it ran again.
    judged = [host for host in resting.governed if (check, host) in resting.judged]
    if not judged:
        return (SITE,)
    newest = min(resting.ages[resting.judged[check, host][0][0].run] for host in judged)
    return (*resting.governed, SITE) if resting.ages[on_site[0][0].run] <= newest else resting.governed


def _criterion(about: tuple[str, StorFinding, str, str], resting: Resting) -> Criterion:
    name, finding, check, host = about
    blank = Criterion(finding=name, check=check, host=host)
    known = resting.known(check, host)
    if not known:
        ahead = f" ({', '.join(resting.ahead)}: dated later than now, so a clock was wrong)" if resting.ahead else ""
        return blank.model_copy(update={"objection": f"no recorded run judged it: controlplane gates run{ahead}"})
    run, told = _against(finding, check, host, resting)
    if told is not None:
        return blank.model_copy(update={"run": run, "objection": told})
    chosen, held = next(((report, held) for report, held in known if report.run in resting.named), (None, [])) if resting.named else known[0]
    if chosen is None:
        return blank.model_copy(update={"objection": f"none of the runs that were named judged it; {known[0][0].run} did"})
    if any(one.verdict is not Verdict.MET for one in _of(held, finding)):
        return blank.model_copy(update={"run": chosen.run, "objection": f"it was not met in {chosen.run}; name {known[0][0].run}"})
    return blank.model_copy(update={"run": chosen.run, "objection": resting.doubt(chosen)})


def _against(finding: StorFinding, check: str, host: str, resting: Resting) -> tuple[str | None, str | None]:
    """Return (run, objection) of the first that speaks against a closing, whichever run it is to rest on; (None, None) where none does."""
    known = resting.known(check, host)
    latest, found = known[0][0], _of(known[0][1], finding)
    bad = next((one for one in found if one.verdict is not Verdict.MET), None)
    if bad is not None:
        return latest.run, f"{bad.surface} is {bad.verdict} in {latest.run}: {bad.reason}"
    for report, held in resting.known_ahead(check, host):
        # What came after it, whatever its date, says what became of that.
        for one in _of(held, finding) if resting.ages[report.run] < resting.ages[latest.run] else ():
            if one.verdict is not Verdict.MET:
                return report.run, f"{one.surface} is {one.verdict} in {report.run}, which is dated later than now ({report.at}): {one.reason}"
    if not found and not any(_of(held, finding) for _, held in known):
        return None, f"no recorded run showed a surface of it ({', '.join(finding.surfaces)}): name the right one in findings.yml"
    for surface, told in resting.dropped(check, host):
        if not finding.surfaces or finding.covers(check, host, surface):
            return latest.run, told
    return None, None


def _of(judged: list[Finding], finding: StorFinding) -> list[Finding]:
    """Return what a run says of a finding's surfaces, and what it could not observe.

    An empty list is a surface that is gone, such as a file that was removed: the check looked, and found nothing of it.
    """
    return [one for one in judged if one.verdict is Verdict.UNKNOWN or not finding.surfaces or finding.covers(one.check, one.host, one.surface)]
