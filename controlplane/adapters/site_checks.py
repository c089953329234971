"""Run the site's own checks: ordinary pytest files, in a process of their own, with testinfra's `host` where a test takes it.

Rules:
- A test that failed is DRIFTED; one that was skipped, could not be set up or was not there at all is UNKNOWN, and so is a file that can't be read
  or does not end. Only a test that ran and passed is MET.
- A file of the site is code of the site: it runs as the operator, like a script of its inventory.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
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
# Nothing of a configuration above the site, and no cache left in it.
_OPTIONS = ("-q", "--no-header", "--tb=line", "-c", os.devnull, "-p", "no:cacheprovider", "-p", "controlplane.adapters.site_checks_plugin")
# What an operator's shell says of pytest must not leave tests out; a plugin that a check needs, it names itself.
_NARROWING = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
_QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
_VERDICTS = {"passed": Verdict.MET, "failed": Verdict.DRIFTED}


class PytestSiteChecks:
    """Runs the checks of one site folder."""

    def __init__(self, folder: Path, known_hosts: Path | None = None, *, limit_s: float = _LIMIT_S) -> None:
        self._folder, self._known_hosts, self._limit_s = folder.resolve(), known_hosts, limit_s

    def run(self, checks: Mapping[str, SiteCheck], hosts: Sequence[InventoryHost]) -> tuple[Finding, ...]:
        """Return the findings of each check: one for each test and host, on `site` where a test looks at no machine."""
        started: set[subprocess.Popen[bytes]] = set()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                return tuple(found for one in pool.map(lambda pair: self._run(pair, hosts, started), checks.items()) for found in one)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in tuple(started):
                    _end(process)
                raise

    def _run(self, about: tuple[str, SiteCheck], hosts: Sequence[InventoryHost], started: set[subprocess.Popen[bytes]]) -> list[Finding]:
        check, held = about
        with tempfile.TemporaryDirectory(prefix="controlplane-checks-") as scratch:
            routes = {"hosts": {one.name: one.model_dump(mode="json") for one in hosts}, "known_hosts": str(self._known_hosts or "")}
            Path(scratch, ROUTES).write_text(json.dumps(routes))
            argv = [sys.executable, "-m", "pytest", *_OPTIONS, "--rootdir", str(self._folder), "--confcutdir", str(self._folder)]
            with Path(scratch, "output").open("wb") as output:
                process = subprocess.Popen(
                    [*argv, str(self._folder / held.file)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder,
                    env={**{name: value for name, value in os.environ.items() if name not in _NARROWING}, **_QUIET, FOLDER: scratch},
                    start_new_session=True,
                )
                started.add(process)
                try:
                    code = process.wait(self._limit_s)
                except subprocess.TimeoutExpired:
                    return [_unknown(check, held, f"did not end within {self._limit_s:.0f} s")]
                finally:
                    if process.poll() is None:
                        _end(process)
                    started.discard(process)
            outcomes = _outcomes(Path(scratch, OUTCOMES))
            said = _tail(Path(scratch, "output"))
        found = [_finding(check, held, one) for one in outcomes]
        if not found or code not in (0, 1):
            # Collected in part only, or not at all: what is there says nothing of what is not.
            found.append(_unknown(check, held, f"was not run to its end (pytest {code}): {said}"))
        return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of it, whatever it started included."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(output: Path) -> str:
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 3000))
        return " ".join(file.read().decode(errors="replace").split())[-300:]


def _outcomes(path: Path) -> list[Mapping[str, str]]:
    """Return how its tests ended, none where the file is not what the plugin writes."""
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    sound = isinstance(held, list) and all(isinstance(one, dict) and {"test", "host", "outcome", "reason"} <= one.keys() for one in held)
    return list(held) if sound else []


def _finding(check: str, held: SiteCheck, ended: Mapping[str, str]) -> Finding:
    verdict = _VERDICTS.get(ended["outcome"], Verdict.UNKNOWN)
    reason = "as declared" if verdict is Verdict.MET else f"{'' if verdict is Verdict.DRIFTED else ended['outcome'] + ': '}{ended['reason']}"
    host, surface = ended["host"] or SITE, f"check:{ended['test']}"
    return Finding(check=check, host=host, surface=surface, verdict=verdict, severity=held.severity, reason=reason)


def _unknown(check: str, held: SiteCheck, why: str) -> Finding:
    return Finding(check=check, host=SITE, surface=f"check:{held.file}", verdict=Verdict.UNKNOWN, severity=held.severity, reason=f"{held.file} {why}")
