"""What gate runs found: `<site>/state/gates/<run>.json`, each written once."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.domain.errors import RunFailedError
from controlplane.domain.finding import AuditReport
from controlplane.domain.registers.closing import RunReport
from controlplane.domain.run_key import is_run_key


class GateReportFiles:
    """Reports in one folder; their names sort by time, because a run's key begins with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, run: str, report: AuditReport) -> None:
        """Keep a report under its run's key, durably, once."""
        try:
            write_durably(self._folder / f"{run}.json", (report.model_dump_json() + "\n").encode(), exclusive=True)
        except FileExistsError:
            raise RunFailedError(f"{self._folder}/{run}.json is there already: run keys are used once. Nothing was changed.") from None

    def latest(self, limit: int) -> tuple[RunReport, ...]:
        """Return the newest reports, the oldest of them first. Raises `RunFailedError` for a file that is none."""
        files = sorted(path for path in self._folder.glob("CAP-*.json") if is_run_key(path.stem))
        return tuple(_read(path) for path in files[-limit:])


def _read(path: Path) -> RunReport:
    try:
        report = AuditReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RunFailedError(
            f"{path} is no report of a gate run ({type(error).__name__}): restore it, or move it away. Nothing was changed."
        ) from None
    return RunReport(run=path.stem, at=report.judged_at, findings=report.findings)
