"""What the last session saw: `<site>/state/session.json`, replaced by each that begins."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.domain.errors import RunFailedError
from controlplane.domain.finding import AuditReport


class SessionFile:
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """Return the file's path."""
        return str(self._path)

    def last(self) -> AuditReport | None:
        """Return what the last session saw, None where there is no file. Raises `RunFailedError` for one that can't be read, or is no report."""
        try:
            return AuditReport.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            why = f"can't be read ({error.strerror})"
        except ValidationError:
            why = "is not what a session wrote"
        raise RunFailedError(
            f"{self._path} {why}, so nobody knows what the last session saw. Nothing was changed. Restore it from a copy; or move it away: the "
            "next session then compares with none, and says so."
        )

    def keep(self, report: AuditReport) -> None:
        """Keep what this one saw. Raises `RunFailedError` where it can't be written."""
        try:
            write_durably(self._path, (report.model_dump_json() + "\n").encode())
        except OSError as error:
            why = f"{self._path} can't be written ({error.strerror or error}), so the next session would compare with an earlier one than this"
            raise RunFailedError(f"{why}. Make room there, or let this user write there, then start the session again.") from None
