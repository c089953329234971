"""When a gap may be closed: what each finding that it serves still lacks, by recorded runs.

Rules:
- For every finding that names the gap, each of its checks has to be MET on each of its hosts, on every surface that belongs to it.
- Only the runs that are named count, and of those the latest that judged the check on that host. A later run that says otherwise is an objection.
- A run speaks for a gap only where its receipt holds what it found, and none that is dated later than now speaks at all: a clock was wrong.
- A run in which a check's file did not run to its end (UNKNOWN on the site) says so of every host.
- A surface that no recorded run ever showed is no evidence: its pattern may be misspelt.
- A finding that no check judges is a person's to decide: they say so by --attest.
- The program recommends; a person closes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from controlplane.domain.coordination import stamp_of
from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.values import SITE
from controlplane.domain.registers.values import Registers, StorFinding
from controlplane.domain.values import Value


class RunReport(Value):
    """What one recorded run judged: its key, when, its findings, and the digest of all that is on record of it."""

    run: str
    at: str
    findings: tuple[Finding, ...]
    digest: str = ""


class Criterion(Value):
    """One check on one host that a gap's closing rests on; `run` is the run that shows it, `objection` why it does not hold."""

    finding: str
    check: str
    host: str
    run: str | None = None
    objection: str | None = None


class Recommendation(Value):
    """Whether a gap may be closed. `unjudged` are findings that no check judges."""

    gap: str
    findings: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    unjudged: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()

    @property
    def closable(self) -> bool:
        """Return whether recorded runs alone speak for it, and nothing against."""
        return not self.objections and not self.unjudged

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the runs that it rests on, each once."""
        return tuple(dict.fromkeys(one.run for one in self.criteria if one.run is not None))


@dataclass(frozen=True)
class Resting:
    """What a closing rests on: the site's registers, its recorded runs, its hosts, and the runs that a person named (none: whatever came last).

    `receipts` are the digests that the receipts of runs hold, by run; None where they were not asked.
    """

    registers: Registers
    reports: tuple[RunReport, ...]
    governed: tuple[str, ...]
    now: datetime
    named: tuple[str, ...] = ()
    receipts: Mapping[str, str] | None = field(default=None)

    def doubt(self, report: RunReport) -> str | None:
        """Return why a run does not speak for anything, or None."""
        if self.receipts is None or self.receipts.get(report.run) == report.digest:
            return None
        return f"{report.run} {'has no receipt' if report.run not in self.receipts else 'is not what its receipt holds'}: run the gates again"

    @cached_property
    def ahead(self) -> tuple[str, ...]:
        """Return the runs that are dated later than now."""
        return tuple(one.run for one in self.reports if one.at > self._latest)

    @cached_property
    def judged(self) -> dict[tuple[str, str], list[tuple[RunReport, list[Finding]]]]:
        """Return the runs that judged each check on each host, the newest first, each with what it found there."""
        found: dict[tuple[str, str], list[tuple[RunReport, list[Finding]]]] = {}
        for report in sorted(self.reports, key=lambda one: (one.at, one.run), reverse=True):
            if report.at > self._latest:
                continue
            by_place: dict[tuple[str, str], list[Finding]] = {}
            for one in report.findings:
                by_place.setdefault((one.check, one.host), []).append(one)
            for place, held in by_place.items():
                found.setdefault(place, []).append((report, held))
        return found

    def known(self, check: str, host: str) -> list[tuple[RunReport, list[Finding]]]:
        """Return the runs that judged a check on a host, the newest first; one in which its file broke is among them."""
        found, on_site = self.judged.get((check, host), []), self.judged.get((check, SITE), [])
        if host == SITE or not on_site:
            return found
        mine = {report.run for report, _ in found}
        doubts = [(report, [one for one in held if one.verdict is Verdict.UNKNOWN]) for report, held in on_site if report.run not in mine]
        return sorted((*found, *((report, held) for report, held in doubts if held)), key=lambda one: (one[0].at, one[0].run), reverse=True)

    @cached_property
    def served(self) -> dict[str, tuple[str, ...]]:
        """Return the findings that name each gap."""
        found: dict[str, list[str]] = {}
        for name, finding in self.registers.findings.items():
            for gap in dict.fromkeys(finding.gaps):
                found.setdefault(gap, []).append(name)
        return {gap: tuple(names) for gap, names in found.items()}

    @cached_property
    def _latest(self) -> str:
        return stamp_of(self.now + BEHIND)


def recommend(gap: str, resting: Resting) -> Recommendation:
    """Return what speaks for and against closing a gap."""
    served, findings = resting.served.get(gap, ()), resting.registers.findings
    places = [(name, check, host) for name in served for check in findings[name].checks for host in _hosts_of(findings[name], check, resting)]
    criteria = [_criterion(place, resting) for place in places]
    objections = [f"{one.finding}: {one.check} on {one.host}: {one.objection}" for one in criteria if one.objection is not None]
    if not served:
        objections.append("no finding names it, so nothing shows that it is mended: link it to one, or accept it with a reason")
    unjudged = tuple(name for name in served if not findings[name].checks)
    objections += [f"{name}: the policy has no host to judge it on" for name in served if name not in unjudged and name not in {p[0] for p in places}]
    return Recommendation(gap=gap, findings=served, criteria=tuple(criteria), unjudged=unjudged, objections=tuple(objections))


def _hosts_of(finding: StorFinding, check: str, resting: Resting) -> tuple[str, ...]:
    on_site = resting.judged.get((check, SITE), [])
    if finding.hosts or not on_site:
        return finding.hosts or resting.governed
    # A check of the site's own that looks at no machine is judged on the site alone; one whose file broke was, until it ran again.
    judged = [host for host in resting.governed if (check, host) in resting.judged]
    newest = max((resting.judged[check, host][0][0].at for host in judged), default="")
    if not judged:
        return (SITE,)
    return (*resting.governed, SITE) if on_site[0][0].at >= newest else resting.governed


def _criterion(about: tuple[str, str, str], resting: Resting) -> Criterion:
    name, check, host = about
    finding = resting.registers.findings[name]
    blank = Criterion(finding=name, check=check, host=host)
    known = resting.known(check, host)
    if not known:
        ahead = f" ({', '.join(resting.ahead)}: dated later than now, so a clock was wrong)" if resting.ahead else ""
        return blank.model_copy(update={"objection": f"no recorded run judged it: controlplane gates run{ahead}"})
    latest, found = known[0][0], _of(known[0][1], finding)
    bad = next((one for one in found if one.verdict is not Verdict.MET), None)
    if bad is not None:
        told = f"{bad.surface} is {bad.verdict} in {latest.run}: {bad.reason}"
        return blank.model_copy(update={"run": latest.run, "objection": told})
    if not found and not any(_of(held, finding) for _, held in known):
        told = f"no recorded run showed a surface of it ({', '.join(finding.surfaces)}): name the right one in findings.yml"
        return blank.model_copy(update={"objection": told})
    chosen, held = next(((report, held) for report, held in known if report.run in resting.named), (None, [])) if resting.named else known[0]
    if chosen is None:
        return blank.model_copy(update={"objection": f"none of the runs that were named judged it; {latest.run} did"})
    if any(one.verdict is not Verdict.MET for one in _of(held, finding)):
        return blank.model_copy(update={"run": chosen.run, "objection": f"it was not met in {chosen.run}; name {latest.run}"})
    return blank.model_copy(update={"run": chosen.run, "objection": resting.doubt(chosen)})


def _of(judged: list[Finding], finding: StorFinding) -> list[Finding]:
    """Return what a run says of a finding's surfaces, and what it could not observe.

    An empty list is a surface that is gone, such as a file that was removed: the check looked, and found nothing of it.
    """
    return [one for one in judged if one.verdict is Verdict.UNKNOWN or not finding.surfaces or finding.covers(one.check, one.host, one.surface)]
