"""What gate runs found: `<site>/state/gates/<run>.json`, each written once."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.domain.errors import RunFailedError
from controlplane.domain.gates.report import GateReport
from controlplane.domain.registers.closing import RunReport
from controlplane.domain.run_key import is_run_key


class GateReportFiles:
    """Reports in one folder; their names sort by time, because a run's key begins with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, report: GateReport) -> None:
        """Keep a report under its run's key, durably, once."""
        try:
            write_durably(self._folder / f"{report.run}.json", (report.model_dump_json() + "\n").encode(), exclusive=True)
        except FileExistsError:
            raise RunFailedError(f"{self._folder}/{report.run}.json is there already: run keys are used once. Nothing was changed.") from None

    def latest(self, limit: int) -> tuple[RunReport, ...]:
        """Return the newest reports, the oldest of them first. Raises `RunFailedError` for a file that is none."""
        files = sorted(path for path in self._folder.glob("CAP-*.json") if is_run_key(path.stem))
        return tuple(map(_as_run, map(_read, files[-limit:])))

    def of(self, run: str) -> GateReport | None:
        """Return the report of that run, None where there is none. Raises `RunFailedError` for a file that is no report of it."""
        path = self._folder / f"{run}.json"
        return _read(path) if is_run_key(run) and path.exists() else None


def _read(path: Path) -> GateReport:
    try:
        report = GateReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RunFailedError(
            f"{path} is no report of a gate run ({type(error).__name__}): restore it, or move it away. Nothing was changed."
        ) from None
    if report.run != path.stem:
        raise RunFailedError(f"{path} is the report of {report.run}: restore it, or move it away. Nothing was changed.")
    return report


def _as_run(report: GateReport) -> RunReport:
    return RunReport(
        run=report.run,
        at=report.judged_at,
        findings=report.findings,
        digest=report.digest(),
        policy=report.policy_digest,
        checkers=report.checkers,
    )
