"""What release status says of a host from which all releases went back: what is there, as before the first one, and whether that is proven.

Rules:
- Fresh evidence tells it, for of nothing no smoke run leaves a proof. What a smoke run proved since it went back is a person's own from there.
- What was there before and is on record nowhere is judged by nothing: nobody could ever say that it is back.
"""

from __future__ import annotations

from typing import NamedTuple

from controlplane.domain.finding import Verdict
from controlplane.domain.releases.bare import Bare
from controlplane.domain.releases.before import Was, before, went_back_last
from controlplane.domain.releases.history import Deployed
from controlplane.usecases.judge_return import NOT_KNOWN, judge_before
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite


class GoneBack(NamedTuple):
    """What went back from a host last, and what is there now; `verdict` is None where nothing is judged."""

    manifest_name: str
    verdict: Verdict | None
    reason: str


def gone_back(site: ReleaseSite, found: Deployed, again: Bare | None, ports: ReleasePorts) -> dict[str, GoneBack]:
    """Return that of each host on which nothing of a release is left; `again` is how the environment is where that holds of all of them."""
    governed = site.view.desired.by_name()
    last = {host.host: one for host in found.hosts if host.is_bare and host.host in governed and (one := went_back_last(host)) is not None}
    was = {host: before(one, ports.apply.plans.get) for host, one in last.items()}
    asked = {host: held for host, held in was.items() if held is not None and not (held and again is not None and again.is_proven)}
    # Without a name every host would be asked.
    chosen = site.view.chosen(tuple(asked)) if asked else ()
    seen = ports.apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen}) if chosen else {}
    judged = {host: judge_before(last[host], held, seen.get(host)) for host, held in asked.items()}
    return {host: _told(one.manifest_name, was[host], judged.get(host), again) for host, one in last.items()}


def _told(name: str, was: tuple[Was, ...] | None, judged: tuple[Verdict, tuple[str, ...]] | None, again: Bare | None) -> GoneBack:
    verdict, faults = judged if judged is not None else (None, ())
    if was is None:
        told = NOT_KNOWN
    elif faults:
        told = "; ".join(faults)
    elif not was:
        told = "nothing of it is here, as before"
    else:
        told = f"what ran here before, which no release brought, is here again: {'; '.join(dict.fromkeys(one.told for one in was))}"
    doubt = f"; it is not proven: {again.doubt}" if was and again is not None and again.doubt is not None else ""
    return GoneBack(name, verdict, f"{name} went back from here: {told}{doubt}")
