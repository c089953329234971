"""What runs on hosts from which releases went back, on fresh evidence: the release before, or what was there before the first one.

Rules:
- A host on which a release stands is judged by D249, any other by the images that ran there before its first release, as its plan saw them.
- Where nothing ran before, nothing of the project may be there: that Compose took it down is no proof.
- What is not on record, or was not observed, is not proven.
- A host on which nothing stands any more is judged with it as long as no deployment was begun on any host since something went back there:
  however many calls a way back takes, and also where only its proof is asked for, each of its hosts is proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from controlplane.domain.evidence import Evidence, Reader, Unobserved, Unreached
from controlplane.domain.finding import Verdict
from controlplane.domain.releases.before import Was, before, faults_of_return, went_back_last
from controlplane.domain.releases.history import Deployment
from controlplane.usecases.judge_hosts import judge_site
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, history
from controlplane.usecases.release_way_back import WayBack, wanted_by

NOT_KNOWN = "what ran there before its first release is not on record, so nobody can tell whether it is back: UNKNOWN"


class Judged(NamedTuple):
    """What is wrong, by host; where nothing is, the images of what no release brought, and the hosts that have nothing now, as before.

    `stands` says whether a release stands on any host, `more` is what else there is to say of them.
    """

    wrong: tuple[str, ...]
    unreleased: Mapping[str, tuple[Was, ...]]
    emptied: tuple[str, ...]
    stands: bool
    more: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """Return what came back that is no release, a line each host."""
        lines = [
            f"{host}: what ran there before, which no release brought, is back by its images: {'; '.join(dict.fromkeys(one.told for one in was))}"
            for host, was in self.unreleased.items()
        ]
        gone = "nothing of it ran there before: its containers are gone, its volumes stay"
        return (*lines, *([f"{', '.join(self.emptied)}: {gone}"] if self.emptied else []), *self.more)


def judge_return(site: ReleaseSite, back: WayBack, ports: ReleasePorts) -> Judged:
    """Return what fresh evidence says of every host on which a release stands or from which one went back."""
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    found = history(site, back.stack, back.environment, chain, ports.apply)
    current = {host.host: wanted_by(host.current, ports) for host in found.hosts if host.current is not None}
    judged = {*back.hosts, *found.went_back}
    emptied = [host for host in found.hosts if host.current is None and host.host in judged]
    bare = {host.host: last for host in emptied if (last := went_back_last(host)) is not None}
    was = {host: before(one, ports.apply.plans.get) for host, one in bare.items()}
    view = site.view.releasing(current)
    chosen = view.chosen((*current, *bare))
    seen = ports.apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    report = judge_site(view, hosts=tuple(current), seen=seen, now=ports.apply.clock.now()) if current else None
    findings = report.findings if report is not None else ()
    told = [one for one in findings if (one.check, one.surface) == ("D249", f"release:{back.stack}") and one.verdict is not Verdict.MET]
    wrong = [f"{one.host}: {one.reason}" for one in told]
    for host, one in bare.items():
        wrong += [f"{host}: {fault}" for fault in judge_before(one, was[host], seen.get(host))[1]]
    known = {host: one for host, one in was.items() if one}
    return Judged(tuple(wrong), known, tuple(host for host, one in was.items() if one == ()), bool(current))


def judge_before(deployment: Deployment, was: tuple[Was, ...] | None, seen: Evidence | Unreached | None) -> tuple[Verdict, tuple[str, ...]]:
    """Return whether a host is as it `was` before its first release, and each thing that differs; `deployment` went back from there last."""
    if was is None:
        return Verdict.UNKNOWN, (NOT_KNOWN,)
    if not isinstance(seen, Evidence):
        return Verdict.UNKNOWN, (f"it was not reached: {seen.reason if seen is not None else 'it gave no evidence'}: UNKNOWN",)
    try:
        faults = faults_of_return(deployment.project, was, Reader(seen).containers)
    except Unobserved as doubt:
        return Verdict.UNKNOWN, (f"what runs was not observed: {doubt}: UNKNOWN",)
    return Verdict.DRIFTED if faults else Verdict.MET, faults
