"""Run the site's own checks: ordinary pytest files, in a process of their own, with testinfra's `host` where a test takes it.

Rules:
- A test that failed is DRIFTED; one that was skipped, could not be set up or was not there at all is UNKNOWN, and so is a file that can't be read
  or does not end. Only a test that ran and passed is MET.
- A file of the site is code of the site: it runs as the operator, like a script of its inventory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from controlplane.adapters.site_checks_plugin import FOLDER, OUTCOMES, ROUTES
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
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return tuple(finding for found in pool.map(lambda one: self._run(one[0], one[1], hosts), checks.items()) for finding in found)

    def _run(self, check: str, held: SiteCheck, hosts: Sequence[InventoryHost]) -> list[Finding]:
        with tempfile.TemporaryDirectory(prefix="controlplane-checks-") as scratch:
            routes = {"hosts": {one.name: one.model_dump(mode="json") for one in hosts}, "known_hosts": str(self._known_hosts or "")}
            Path(scratch, ROUTES).write_text(json.dumps(routes))
            # Nothing of a configuration above the site, and no cache left in it.
            argv = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=line", "--rootdir", str(self._folder), "-c", os.devnull]
            argv += [
                "-p",
                "no:cacheprovider",
                "-p",
                "no:pytest11.testinfra",
                "-p",
                "controlplane.adapters.site_checks_plugin",
                str(self._folder / held.file),
            ]
            environment = {**os.environ, FOLDER: scratch, "PYTHONDONTWRITEBYTECODE": "1"}
            try:
                done = subprocess.run(
                    argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=self._limit_s, check=False, cwd=self._folder, env=environment
                )
            except subprocess.TimeoutExpired:
                return [_unknown(check, held, f"did not end within {self._limit_s:.0f} s")]
            try:
                outcomes = json.loads(Path(scratch, OUTCOMES).read_text())
            except (OSError, ValueError):
                outcomes = []
        told = " ".join((done.stdout + done.stderr).decode(errors="replace").split())[-300:]
        found = [_finding(check, held, one) for one in outcomes]
        if not found or done.returncode not in (0, 1):
            # Collected in part only, or not at all: what is there says nothing of what is not.
            found.append(_unknown(check, held, f"was not run to its end (pytest {done.returncode}): {told}"))
        return found


def _finding(check: str, held: SiteCheck, ended: Mapping[str, str]) -> Finding:
    verdict = _VERDICTS.get(ended["outcome"], Verdict.UNKNOWN)
    reason = "as declared" if verdict is Verdict.MET else f"{'' if verdict is Verdict.DRIFTED else ended['outcome'] + ': '}{ended['reason']}"
    host, surface = ended["host"] or SITE, f"check:{ended['test']}"
    return Finding(check=check, host=host, surface=surface, verdict=verdict, severity=held.severity, reason=reason)


def _unknown(check: str, held: SiteCheck, why: str) -> Finding:
    return Finding(check=check, host=SITE, surface=f"check:{held.file}", verdict=Verdict.UNKNOWN, severity=held.severity, reason=f"{held.file} {why}")
