"""Gate runs, in the store. They are added and read, never changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Row, Select, insert, select

from controlplane.adapters.coordination.database import Database
from controlplane.adapters.coordination.schema import gate_results, gate_runs
from controlplane.domain.coordination import GateResult, GateRun
from controlplane.domain.digest import canonical_json
from controlplane.domain.errors import RefusedError
from controlplane.domain.plain_json import load_plain

# How many runs are asked for by their numbers in one query.
_AT_ONCE = 500
_RESULT = tuple(gate_results.c[name] for name in ("run_id", "check_id", "host", "checker", "verdict", "passed", "reason"))


class GateRunTables:
    """Fills the port GateRunStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_run(self, run: GateRun, *, now: datetime) -> None:
        """Keep the run. Raises `RefusedError` for a key that is there already."""
        with self._database.writing(now) as turn:
            twin = turn.connection.execute(select(gate_runs.c.at).where(gate_runs.c.run == run.run)).scalar()
            if twin is not None:
                raise RefusedError(
                    f"gate run {run.run} is on record already, of {twin}, and is not replaced. Nothing was changed. Run the gates again."
                )
            row = run.model_dump(exclude={"results"}) | {"hosts": canonical_json(run.hosts).decode()}
            run_id = turn.connection.execute(insert(gate_runs).returning(gate_runs.c.id), row).scalar_one()
            if run.results:
                turn.connection.execute(insert(gate_results), [_columns(run_id, run.at, *one) for one in enumerate(run.results)])

    def runs_of(self, check: str, host: str, *, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the runs that judged the check on the host, the newest first, each with that result alone."""
        found = (
            select(gate_runs.c.id, gate_runs.c.run, *(column.label(f"its_{column.name}") for column in _RESULT))
            .join_from(gate_results, gate_runs, gate_runs.c.id == gate_results.c.run_id)
            .where(gate_results.c.check_id == check, gate_results.c.host == host)
            .order_by(gate_results.c.at.desc(), gate_results.c.run_id.desc())
            .limit(limit)
        )
        with self._database.reading() as connection:
            rows = connection.execute(found).all()
            strange = [row.id for row in rows if (row.id, row.run) not in self._known]
            for first in range(0, len(strange), _AT_ONCE):
                asked = select(gate_runs).where(gate_runs.c.id.in_(strange[first : first + _AT_ONCE]))
                self._known.update({(row.id, row.run): _run(row, ()) for row in connection.execute(asked)})
        return tuple(self._known[row.id, row.run].model_copy(update={"results": (_result(row),)}) for row in rows)

    @cached_property
    def _known(self) -> dict[tuple[int, str], GateRun]:
        """Return runs without results, by number and key: none is ever changed, and each is asked for of every place that it judged."""
        return {}

    def latest_runs(self, pack: str, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the pack's runs, the newest first."""
        newest = select(gate_runs).where(gate_runs.c.pack == pack).order_by(gate_runs.c.at.desc(), gate_runs.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            runs = connection.execute(newest).all()
            results: dict[int, list[Row[Any]]] = {run.id: [] for run in runs}
            for row in connection.execute(_results_of(newest)):
                if row.its_run_id in results:
                    results[row.its_run_id].append(row)
        return tuple(_run(run, results[run.id]) for run in runs)


def _results_of(runs: Select[Any]) -> Select[Any]:
    """Return the results of those runs. One that was added since the runs were read brings some that nobody asked for."""
    among = runs.with_only_columns(gate_runs.c.id).subquery()
    columns = (column.label(f"its_{column.name}") for column in _RESULT)
    return (
        select(*columns).join_from(gate_results, among, among.c.id == gate_results.c.run_id).order_by(gate_results.c.run_id, gate_results.c.position)
    )


def _columns(run_id: int, at: str, position: int, result: GateResult) -> dict[str, Any]:
    row = result.model_dump(exclude={"check"}) | {"check_id": result.check, "reason": canonical_json(result.reason).decode()}
    return row | {"run_id": run_id, "at": at, "position": position}


def _run(row: Row[Any], results: Iterable[Row[Any]]) -> GateRun:
    return GateRun(
        run=row.run,
        at=row.at,
        pack=row.pack,
        policy=row.policy,
        hosts=load_plain(row.hosts),
        results=tuple(map(_result, results)),
    )


def _result(row: Row[Any]) -> GateResult:
    return GateResult(
        check=row.its_check_id,
        host=row.its_host,
        checker=row.its_checker,
        verdict=row.its_verdict,
        passed=row.its_passed,
        reason=load_plain(row.its_reason),
    )
