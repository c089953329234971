"""What the last session saw: `<site>/state/session.json`, replaced by each that begins."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.domain.finding import AuditReport


class SessionFile:
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> AuditReport | None:
        """Return what the last session saw, None for the first. What can't be read is as if there had been none."""
        try:
            return AuditReport.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return None

    def keep(self, report: AuditReport) -> None:
        """Keep what this one saw."""
        write_durably(self._path, (report.model_dump_json() + "\n").encode())
