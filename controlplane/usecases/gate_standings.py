"""gates status, explain: how each check stands on each host, from what is on record and from what it would be judged by now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.domain.coordination import GateRun
from controlplane.domain.gates.promotion import Digests, Judged, Standing, standing
from controlplane.domain.gates.values import SITE
from controlplane.domain.site_view import SiteView
from controlplane.ports import CheckerDigests, GateRunStore

_RUNS = 50


def standings(
    site: SiteView,
    *,
    checks: Sequence[str],
    hosts: Sequence[str],
    runs: GateRunStore,
    checkers: CheckerDigests,
    seen: Mapping[str, str] | None = None,
) -> tuple[Standing, ...]:
    """Return how these checks stand on these hosts.

    `seen` are the digests of the hosts as they are now; without it those of the last run count, which is enough to look at and not to promote by.
    """
    found = []
    for check in checks:
        held = {host: runs.runs_of(check, host, limit=_RUNS) for host in (*hosts, SITE)}
        for host, recorded in held.items():
            if not recorded and (host == SITE or held[SITE]):
                continue  # a check that looks at no machine stands on the site alone
            judged = tuple(_judged(run) for run in recorded)
            by = _by(site, check, host, judged, checkers, seen)
            mode, lacking = site.gates.mode(check, host), unlinked(site, host)
            found.append(standing(check, host, mode, judged, now_by=by, demanded=site.gates.promotion, unlinked=lacking))
    return tuple(found)


def history_of(runs: GateRunStore, check: str, host: str) -> tuple[Judged, ...]:
    """Return what recorded runs said of one check on one host, newest first."""
    return tuple(_judged(run) for run in runs.runs_of(check, host, limit=_RUNS))


def unlinked(site: SiteView, host: str) -> tuple[str, ...]:
    """Return what the registers lack of a host's STOR findings, or of all where it is the site itself."""
    told: list[str] = []
    for desired in site.desired.hosts:
        if host not in (desired.host, SITE):
            continue
        if desired.registered is None:
            told.append("the site has no registers")
        elif desired.registered.doubt is not None:
            told.append(desired.registered.doubt)
        else:
            told += [f"{row.id}: {fault}" for row in desired.registered.rows for fault in row.faults]
    return tuple(dict.fromkeys(told))


def _by(  # noqa: PLR0917 - what decides is named in one place
    site: SiteView, check: str, host: str, judged: Sequence[Judged], checkers: CheckerDigests, seen: Mapping[str, str] | None
) -> Digests | None:
    last = judged[0].host if judged else ""
    digest = (SITE if host == SITE else seen.get(host)) if seen is not None else last
    if digest is None:
        return None
    return Digests(policy=site.policy_digest, checker=checkers.of(check, site.gates.checks), host=digest)


def _judged(run: GateRun) -> Judged:
    [result] = run.results
    return Judged(
        run=run.run,
        at=run.at,
        verdict=result.verdict,
        passed=result.passed,
        reason=result.reason,
        policy=run.policy,
        checker=result.checker,
        host=run.hosts.get(result.host, ""),
    )
