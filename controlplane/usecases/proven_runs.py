"""Gate runs of the store, as far as signed receipts and the reports that they name bear them out.

Rules:
- The store says which runs there are, the report says what they found: whoever may write the store could write there that a check passed. A report
  counts that has the very digest which the receipt of its run holds.
- What passed by the store alone is UNKNOWN: its receipt or its report is missing, or says nothing of it. What did not pass is believed as it
  stands, as it only ever holds back; a run that ended in an error has no report.
- A run that did not pass and that the store no longer has is counted all the same, where its receipt and its report are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from controlplane.domain.coordination import GateResult, GateRun
from controlplane.domain.errors import RunFailedError
from controlplane.domain.gates.report import GateReport
from controlplane.domain.receipt import Receipt
from controlplane.ports.gates import GateReports, GateRunStore
from controlplane.ports.receipts import ReceiptStore
from controlplane.usecases.run_gates import ID


class _Told(NamedTuple):
    """What a report says of its run: the run itself, without results, and its results by check and host."""

    run: GateRun
    results: dict[tuple[str, str], GateResult]

    def of(self, place: tuple[str, str] | None) -> GateRun | None:
        """Return the run with its result there alone, None where it has none; with all of them for no place."""
        held = tuple(self.results.values()) if place is None else tuple(filter(None, (self.results.get(place),)))
        return self.run.model_copy(update={"results": held}) if held else None


class ProvenRuns:
    """Fills the port GateRunStore over another one. What was found of a run is kept: nothing of it changes once its receipt is written."""

    def __init__(self, runs: GateRunStore, reports: GateReports, receipts: ReceiptStore) -> None:
        self._runs, self._reports, self._receipts = runs, reports, receipts
        self._ends: dict[str, Receipt] = {}
        self._unread: str | None = None
        self._told: dict[str, _Told] = {}

    def add_run(self, run: GateRun, *, now: datetime) -> None:
        """Keep the run. Raises `RefusedError` for a key that is there already."""
        self._runs.add_run(run, now=now)

    def runs_of(self, check: str, host: str, *, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the runs that judged the check on the host, the newest first, each with that result alone."""
        rows = self._runs.runs_of(check, host, limit=limit)
        return self._proven(rows, self._failed(), (check, host), limit)

    def latest_runs(self, pack: str, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the pack's runs, the newest first."""
        rows = self._runs.latest_runs(pack, limit)
        return self._proven(rows, [end for end in self._failed() if end.step == pack], None, limit)

    def _proven(self, rows: Sequence[GateRun], failed: Sequence[Receipt], place: tuple[str, str] | None, limit: int) -> tuple[GateRun, ...]:
        """Return the rows as their reports have them, and those put back that did not pass and that the store lacks since the oldest of them."""
        found = [self._borne_out(row, place) for row in rows]
        there, since = {row.run for row in rows}, rows[-1].at if len(rows) == limit else ""
        lost = [run for end in failed if end.at >= since and end.key not in there and (run := self._lost(end.key, place)) is not None]
        return tuple(sorted((*found, *lost), key=lambda run: run.at, reverse=True)[:limit])

    def _borne_out(self, row: GateRun, place: tuple[str, str] | None) -> GateRun:
        """Return a run as its report has it; where none bears it out, what passed as UNKNOWN."""
        told = self._reported(row.run)
        found = told.of(place) if isinstance(told, _Told) else None
        if found is not None:
            return found
        why = told if isinstance(told, str) else "its report says nothing of it"
        reason = f"only the store says that it passed, {why}"
        return row.model_copy(update={"results": tuple(_doubted(one, reason) if one.passed else one for one in row.results)})

    def _lost(self, key: str, place: tuple[str, str] | None) -> GateRun | None:
        told = self._reported(key)
        run = told.of(place) if isinstance(told, _Told) else None
        return None if run is None or all(one.passed for one in run.results) else run

    def _failed(self) -> list[Receipt]:
        if not self._ends:
            self._load()
        return [end for end in self._ends.values() if end.outcome == "failed" and end.evidence is not None]

    def _reported(self, key: str) -> _Told | str:
        """Return a run as its report has it, or why none bears it out."""
        if key in self._told:
            return self._told[key]
        told = self._read(key)
        if isinstance(told, _Told):
            self._told[key] = told
        return told

    def _read(self, key: str) -> _Told | str:
        if key not in self._ends:
            self._load()
        end = self._ends.get(key)
        if self._unread is not None:
            return self._unread
        if end is None or end.evidence is None:
            return "the receipts of this site folder hold no such run: bring state/ of the controller that ran it"
        try:
            report = self._reports.of(key)
        except RunFailedError as error:
            return str(error).removesuffix(" Nothing was changed.")
        if report is None:
            return f"the report that receipt {key} names is gone: restore it from a copy"
        return _told_by(report, end)

    def _load(self) -> None:
        try:
            chain = [receipt for _, receipt in self._receipts.load()]
        except RunFailedError as error:
            # Who looks at how checks stand is told here, whatever else goes on without the receipts.
            chain, self._unread = [], str(error)
        self._ends = {one.key: one for one in chain if one.capability == ID and one.phase == "result"}


def _told_by(report: GateReport, end: Receipt) -> _Told | str:
    if report.digest() != end.evidence:
        return f"its report is not the one that receipt {end.key} names: restore it from a copy"
    if not report.facts:
        return "it was recorded before reports said what the hosts were: run the pack again"
    results = {
        (one.check, one.host): GateResult(
            check=one.check,
            host=one.host,
            checker=report.checkers.get(one.check, "unknown"),
            verdict=one.verdict,
            passed=one.passed,
            reason=one.reason,
        )
        for one in report.passing
    }
    policy = report.policy_digest or ""
    return _Told(GateRun(run=report.run, at=report.judged_at, pack=report.pack, policy=policy, hosts=report.facts, results=()), results)


def _doubted(one: GateResult, reason: str) -> GateResult:
    return one.model_copy(update={"verdict": "UNKNOWN", "passed": False, "reason": reason})
