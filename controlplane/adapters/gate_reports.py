"""What gate runs found: `<site>/state/gates/<run>.json`, each written once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic_core import from_json, to_json

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.listing import names_in
from controlplane.domain.coordination import stamp_of
from controlplane.domain.errors import RunFailedError
from controlplane.domain.gates.report import GateReport, ReportHead, digest_of_report
from controlplane.domain.gates.run_order import Begun, latest_of
from controlplane.domain.registers.closing import RunReport
from controlplane.domain.run_key import begun_at, is_run_key


class _Named(NamedTuple):
    """A report that was not read."""

    folder: Path
    run: str

    @property
    def at(self) -> str:
        """Return when its run began, by the clock of then. Of a run that the chain holds nobody asks."""
        with _reading(self.path):
            return stamp_of(begun_at(self.run))

    @property
    def path(self) -> Path:
        """Return its file."""
        return self.folder / f"{self.run}.json"


class GateReportFiles:
    """Reports in one folder, named by their runs. Which of them are the newest the receipts say: a name has its time from a clock alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, report: GateReport) -> None:
        """Keep a report under its run's key, durably, once. Raises `RunFailedError` where there is one already, or it can't be written."""
        path = self._folder / f"{report.run}.json"
        try:
            write_durably(path, (report.model_dump_json() + "\n").encode(), exclusive=True)
        except FileExistsError:
            raise RunFailedError(f"{path} is there already: run keys are used once. Nothing was changed.") from None
        except OSError as error:
            why = f"{path} can't be written ({error.strerror or error}), and a run counts for nothing without its report. Nothing was changed"
            raise RunFailedError(f"{why}. Make room there, or let this user write there, then run the gates again.") from None

    def latest(self, limit: int, began: Mapping[str, Begun]) -> tuple[RunReport, ...]:
        """Return the newest reports, the oldest of them first: so many of runs that the chain holds (`began` says where), and so many of others.

        None but these is read. Raises `RunFailedError` for a file that is none, and a folder that can't be read.
        """
        try:
            names = names_in(self._folder, "CAP-*.json")
        except OSError as error:
            why = f"{self._folder} can't be listed ({error.strerror}), so nobody knows what gate runs found"
            raise RunFailedError(f"{why}. Nothing was changed. Let this user read it, or run this as the one whose folder it is.") from None
        named = [_Named(self._folder, run) for run in (name.removesuffix(".json") for name in names) if is_run_key(run)]
        return tuple(_as_run(_read(one.path)) for one in latest_of(named, began, limit))

    def head_of(self, run: str) -> ReportHead | None:
        """Return the head of that run's report, None where there is none. Raises `RunFailedError` for a file that is no report of it."""
        path = self._folder / f"{run}.json"
        return _read_head(path) if is_run_key(run) else None


def _read(path: Path) -> GateReport:
    with _reading(path):
        report = GateReport.model_validate_json(path.read_bytes())
    return _named(report, path)


def _read_head(path: Path) -> ReportHead | None:
    """Read a report without making values of its findings, of which there are thousands: their digest alone is asked for."""
    with _reading(path):
        try:
            plain = from_json(path.read_bytes())
        except FileNotFoundError:
            return None
        # What is no mapping is refused by its type.
        whole = plain if isinstance(plain, dict) else {}
        report = GateReport.model_validate_json(to_json({**whole, "findings": []}))
        digest = digest_of_report(whole)
    return ReportHead(_named(report, path), digest)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise RunFailedError(
            f"{path} is no report of a gate run ({type(error).__name__}): restore it, or move it away. Nothing was changed."
        ) from None


def _named(report: GateReport, path: Path) -> GateReport:
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
