"""gates status, explain: how each check stands on each host, from what is on record and from what it would be judged by now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice

from controlplane.domain.coordination import GateRun
from controlplane.domain.errors import RunFailedError
from controlplane.domain.gates.promotion import BEFORE, Digests, Judged, Standing, standing
from controlplane.domain.gates.run_order import Begun, beginnings, in_order
from controlplane.domain.gates.values import SITE
from controlplane.domain.site_view import SiteView
from controlplane.ports.gates import CheckerDigests, GateRunStore
from controlplane.ports.receipts import ReceiptStore

# Runs that are read at first; a pack that runs each minute needs more of them for a streak of days.
SOME, MANY = 8, 50
# How many times as many are read where those did not say enough.
_MORE = 8


def standings(
    site: SiteView,
    *,
    checks: Sequence[str],
    hosts: Sequence[str],
    runs: GateRunStore,
    checkers: CheckerDigests,
    began: Mapping[str, Begun],
    now: datetime,
    seen: Mapping[str, str] | None = None,
    read: int = MANY,
) -> tuple[Standing, ...]:
    """Return how these checks stand on these hosts, by the newest `read` runs or as many as it takes.

    `began` is where runs began in the chain, whose order counts (`order_of`). `seen` are the digests of the hosts as they are now; without it those
    of the last run count, which is enough to look at and not to promote by.
    """
    return tuple(
        one
        for check in checks
        for broken in [_broken(check, runs, MANY)]
        for host in _places(check, hosts, runs)
        for one in [_standing(site, check, host, runs=runs, broken=broken, checkers=checkers, began=began, now=now, seen=seen, read=read)]
    )


def order_of(receipts: ReceiptStore) -> Mapping[str, Begun]:
    """Return where runs began in the chain. Where that can't be read nothing is in order, and no run is borne out as passed (proven_runs.py)."""
    try:
        return beginnings([receipt for _, receipt in receipts.load()])
    except RunFailedError:
        return {}


def _places(check: str, hosts: Sequence[str], runs: GateRunStore) -> tuple[str, ...]:
    """Return where a check is judged: on hosts, or on the site alone where it looks at no machine.

    A file of the site that broke is UNKNOWN on the site; once it runs again it is judged on hosts, and what was said of the site is past.
    """
    places = tuple(host for host in dict.fromkeys(hosts) if host != SITE)
    on_site = runs.runs_of(check, SITE, limit=1)
    if not on_site:
        return places
    last = {host: found[0].at for host in places if (found := runs.runs_of(check, host, limit=1))}
    return (*last, SITE) if on_site[0].at >= max(last.values(), default="") else places


def _broken(check: str, runs: GateRunStore, limit: int) -> tuple[GateRun, ...]:
    """Return the runs in which the file of a check did not run to its end."""
    return tuple(run for run in runs.runs_of(check, SITE, limit=limit) if run.results[0].verdict == "UNKNOWN")


def _standing(
    site: SiteView,
    check: str,
    host: str,
    *,
    runs: GateRunStore,
    broken: Sequence[GateRun],
    checkers: CheckerDigests,
    began: Mapping[str, Begun],
    now: datetime,
    seen: Mapping[str, str] | None,
    read: int,
) -> Standing:
    limit = max(read, site.gates.promotion.runs)
    mode, lacking = site.gates.mode(check, host), unlinked(site, host)
    history = in_order(_read(check, host, runs, broken, limit), began, now)
    judged: list[Judged] = []
    while True:
        judged += islice(history, limit - len(judged))
        by = _by(site, check, host, judged, checkers, seen)
        found = standing(check, host, mode, judged, now_by=by, demanded=site.gates.promotion, unlinked=lacking, now=now)
        if len(judged) < limit or found.streak >= found.wanted or found.runs[-1].reason.startswith(BEFORE):
            return found
        limit *= _MORE


def _recorded(check: str, host: str, runs: GateRunStore, broken: Sequence[GateRun], limit: int) -> tuple[tuple[Judged, ...], bool]:
    """Return the recorded runs, the newest first, and whether these are all.

    A run in which the check's file did not run to its end judged no host, and counts against each.
    """
    own = runs.runs_of(check, host, limit=limit)
    mine, whole = {run.run for run in own}, len(own) < limit
    # Of those before the runs that were read nothing is said.
    others = [run for run in broken if host != SITE and run.run not in mine and (whole or run.at >= own[-1].at)]
    together = sorted((*own, *others), key=lambda run: run.at, reverse=True)
    return tuple(map(partial(_judged, host=host), together)), whole


def history_of(runs: GateRunStore, check: str, host: str) -> Iterator[Judged]:
    """Yield what recorded runs said of one check on one host, newest first; one in which the check's file broke judged it UNKNOWN."""
    return _read(check, host, runs, _broken(check, runs, MANY), MANY)


def _read(check: str, host: str, runs: GateRunStore, broken: Sequence[GateRun], limit: int) -> Iterator[Judged]:
    """Yield them, at first as many as `limit`; `broken` are as many of the runs in which the check's file broke."""
    given = set[str]()
    while True:
        judged, whole = _recorded(check, host, runs, broken, limit)
        yield from (one for one in judged if one.run not in given)
        if whole:
            return
        given |= {one.run for one in judged}
        limit *= _MORE
        broken = _broken(check, runs, limit)


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
    last = next((one.host for one in judged if not one.elsewhere), "")
    digest = (SITE if host == SITE else seen.get(host)) if seen is not None else last
    if digest is None:
        return None
    return Digests(policy=site.policy_digest, checker=checkers.of(check, site.gates.checks), host=digest)


def _judged(run: GateRun, *, host: str) -> Judged:
    [result] = run.results
    return Judged(
        run=run.run,
        at=run.at,
        verdict=result.verdict,
        passed=result.passed,
        reason=result.reason,
        policy=run.policy,
        checker=result.checker,
        host=run.hosts.get(host, ""),
        elsewhere=result.elsewhere,
    )
