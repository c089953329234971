"""Run the site's own checks: ordinary pytest files, in a process of their own, with testinfra's `host` where a test takes it.

Rules:
- A test that failed is DRIFTED; one that was skipped, could not be set up or was not there at all is UNKNOWN, and so is a file that can't be read
  or does not end. Only a test that ran and passed is MET.
- A file of the site is code of the site: it runs as the operator, like a script of its inventory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from controlplane.adapters.site_pytest import Ended, run_pytest
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.values import SITE, SiteCheck
from controlplane.domain.inventory import InventoryHost

_LIMIT_S = 300.0
_AT_ONCE = 4
_VERDICTS = {"passed": Verdict.MET, "failed": Verdict.DRIFTED}


class PytestSiteChecks:
    """Runs the checks of one site folder."""

    def __init__(self, folder: Path, known_hosts: Path | None = None, *, limit_s: float = _LIMIT_S) -> None:
        self._folder, self._known_hosts, self._limit_s = folder.resolve(), known_hosts, limit_s

    def run(self, checks: Mapping[str, SiteCheck], hosts: Sequence[InventoryHost]) -> tuple[Finding, ...]:
        """Return the findings of each check: one for each test and host, on `site` where a test looks at no machine."""
        given = {"hosts": {one.name: one.model_dump(mode="json") for one in hosts}, "known_hosts": str(self._known_hosts or "")}
        stop = Event()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                return tuple(found for one in pool.map(lambda check: self._run(check, checks[check], given, stop), checks) for found in one)
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _run(self, check: str, held: SiteCheck, given: Mapping[str, object], stop: Event) -> list[Finding]:
        ran = run_pytest(self._folder, [held.file], root=self._folder, given=given, limit_s=self._limit_s, stop=stop)
        if ran.code is None:
            return [_unknown(check, held, f"did not end within {self._limit_s:.0f} s")]
        # Of one that went down on its way nothing counts; a test that was left out is none.
        found = [_finding(check, held, one) for one in ran.tests if ran.whole and one.begun]
        if not found or ran.code not in (0, 1):
            # Collected in part only, or not at all: what is there says nothing of what is not.
            found.append(_unknown(check, held, f"was not run to its end (pytest {ran.code}): {ran.said[-300:]}"))
        return found


def _finding(check: str, held: SiteCheck, test: Ended) -> Finding:
    verdict = _VERDICTS.get(test.outcome, Verdict.UNKNOWN)
    said = " ".join(test.reason.split())[:600]
    reason = "as declared" if verdict is Verdict.MET else f"{'' if verdict is Verdict.DRIFTED else test.outcome + ': '}{said}"
    host, surface = test.host or SITE, f"check:{test.name}"
    return Finding(check=check, host=host, surface=surface, verdict=verdict, severity=held.severity, reason=reason)


def _unknown(check: str, held: SiteCheck, why: str) -> Finding:
    return Finding(check=check, host=SITE, surface=f"check:{held.file}", verdict=Verdict.UNKNOWN, severity=held.severity, reason=f"{held.file} {why}")
