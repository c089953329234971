"""Gate runs of the store, as far as signed receipts and the reports that they name bear them out.

Rules:
- The store says which runs there are, the report says what they found: whoever may write the store could write there that a check passed. A report
  counts that has the very digest which the receipt of its run holds.
- What passed by the store alone is UNKNOWN: its report is missing, or says nothing of it. What did not pass is believed as it stands, as it only
  ever holds back; a run that ended in an error has no report.
- A run whose receipt is not here was another controller's, or nobody's: what passed in it is UNKNOWN too, and marked as being `elsewhere`.
- A run that did not pass and that the store no longer has is counted all the same, where its receipt and its report are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from controlplane.domain.coordination import GateResult, GateRun
from controlplane.domain.errors import RunFailedError
from controlplane.domain.gates.report import ReportHead
from controlplane.domain.receipt import Receipt
from controlplane.ports.gates import GateReports, GateRunStore
from controlplane.ports.receipts import ReceiptStore
from controlplane.usecases.run_gates import ID


class _Said(NamedTuple):
    """What a run says of one check on one host. Most runs say the same few things of thousands of them: each is held once."""

    verdict: str
    passed: bool
    reason: str


class _Told(NamedTuple):
    """What a report says of its run: the run itself, without results, its checkers, and what it says by check and host.

    `more` are checks that are none of its pack's.
    """

    run: GateRun
    checkers: Mapping[str, str]
    said: dict[str, dict[str, _Said]]
    more: frozenset[str]

    def of(self, place: tuple[str, str] | None) -> GateRun | None:
        """Return the run with its result there alone, None where it has none; with all of the pack's own for no place."""
        places = [(check, host) for check, on in self.said.items() if check not in self.more for host in on] if place is None else [place]
        held = tuple(self._result(check, host) for check, host in places if host in self.said.get(check, {}))
        return self.run.model_copy(update={"results": held}) if held else None

    def _result(self, check: str, host: str) -> GateResult:
        checker = self.checkers.get(check, "unknown")
        return GateResult(check=check, host=host, checker=checker, **self.said[check][host]._asdict())


class ProvenRuns:
    """Fills the port GateRunStore over another one. What was found of a run is kept: nothing of it changes once its receipt is written.

    The receipts are read once, and again only for runs that were not yet looked for: thousands of places ask for the same ones.
    """

    def __init__(self, runs: GateRunStore, reports: GateReports, receipts: ReceiptStore) -> None:
        self._runs, self._reports, self._receipts = runs, reports, receipts
        self._ends: dict[str, Receipt] | None = None
        self._fell: list[Receipt] = []
        # Runs of the store that the receipts held no end of when they were looked for.
        self._missing: set[str] = set()
        self._unread: str | None = None
        self._told: dict[str, _Told | str] = {}
        # What is said of many places, by itself.
        self._same: dict[_Said | str, Any] = {}

    def add_run(self, run: GateRun, *, now: datetime) -> None:
        """Keep the run. Raises `RefusedError` for a key that is there already."""
        self._runs.add_run(run, now=now)
        self._ends = None

    def runs_of(self, check: str, host: str, *, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the runs that judged the check on the host, the newest first, each with that result alone."""
        rows = self._runs.runs_of(check, host, limit=limit)
        return self._proven(rows, self._failed(), (check, host), limit)

    def latest_runs(self, pack: str, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the pack's runs, the newest first, each with the results of the pack's own checks."""
        rows = self._runs.latest_runs(pack, limit)
        return self._proven(rows, [end for end in self._failed() if end.step == pack], None, limit)

    def _proven(self, rows: Sequence[GateRun], failed: Sequence[Receipt], place: tuple[str, str] | None, limit: int) -> tuple[GateRun, ...]:
        """Return the rows as their reports have them, and those put back that did not pass and that the store lacks since the oldest of them."""
        there, since = {row.run for row in rows}, rows[-1].at if len(rows) == limit else ""
        self._look_for(there)
        found = [self._borne_out(row, place) for row in rows]
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
        elsewhere = self._unread is None and row.run not in self._known()
        return row.model_copy(update={"results": tuple(_doubted(one, reason, elsewhere=elsewhere) if one.passed else one for one in row.results)})

    def _lost(self, key: str, place: tuple[str, str] | None) -> GateRun | None:
        told = self._reported(key)
        run = told.of(place) if isinstance(told, _Told) else None
        return None if run is None or all(one.passed for one in run.results) else run

    def _failed(self) -> list[Receipt]:
        self._known()
        return self._fell

    def _look_for(self, runs: set[str]) -> None:
        """Read the receipts again where a run was not yet looked for in them: it may have ended since."""
        strange = runs - self._known().keys() - self._missing
        if strange:
            self._ends = None
            self._missing |= strange - self._known().keys()

    def _reported(self, key: str) -> _Told | str:
        """Return a run as its report has it, or why none bears it out."""
        end = self._known().get(key)
        if self._unread is not None:
            return self._unread
        if end is None or end.evidence is None:
            return "the receipts of this site folder hold no such run: it was another controller's"
        if key not in self._told:
            self._told[key] = self._read(end)
        return self._told[key]

    def _read(self, end: Receipt) -> _Told | str:
        try:
            head = self._reports.head_of(end.key)
        except RunFailedError as error:
            return str(error).removesuffix(" Nothing was changed.")
        if head is None:
            return f"the report that receipt {end.key} names is gone: restore it from a copy"
        return self._told_by(head, end)

    def _known(self) -> dict[str, Receipt]:
        """Return the ends of gate runs by run."""
        if self._ends is not None:
            return self._ends
        try:
            chain, self._unread = [receipt for _, receipt in self._receipts.load()], None
        except RunFailedError as error:
            # Who looks at how checks stand is told here, whatever else goes on without the receipts.
            chain, self._unread = [], str(error)
        self._ends = {one.key: one for one in chain if one.capability == ID and one.phase == "result"}
        self._fell = [end for end in self._ends.values() if end.outcome == "failed" and end.evidence is not None]
        return self._ends

    def _told_by(self, head: ReportHead, end: Receipt) -> _Told | str:
        report = head.report
        if head.digest != end.evidence:
            return f"its report is not the one that receipt {end.key} names: restore it from a copy"
        if not report.facts:
            return "it was recorded before reports said what the hosts were: run the pack again"
        said: dict[str, dict[str, _Said]] = {}
        for one in report.passing:
            held = _Said(one.verdict, one.passed, one.reason)
            said.setdefault(one.check, {})[self._same.setdefault(one.host, one.host)] = self._same.setdefault(held, held)
        policy = report.policy_digest or ""
        run = GateRun(run=report.run, at=report.judged_at, pack=report.pack, policy=policy, hosts=report.facts, results=())
        return _Told(run, report.checkers, said, frozenset(report.more))


def _doubted(one: GateResult, reason: str, *, elsewhere: bool) -> GateResult:
    return one.model_copy(update={"verdict": "UNKNOWN", "passed": False, "reason": reason, "elsewhere": elsewhere})
