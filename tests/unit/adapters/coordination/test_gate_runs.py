"""Gate runs: the same on both engines and the fake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import event, insert

from controlplane.adapters.coordination.schema import gate_results, gate_runs
from controlplane.domain.coordination import GateResult, GateRun, stamp_of
from controlplane.domain.errors import RefusedError
from tests.unit.adapters.coordination.conftest import MINUTE, T, Where

DAY = timedelta(days=1)


def result(check: str = "D235", host: str = "mint-data", **given: Any) -> GateResult:
    return GateResult(**{"check": check, "host": host, "checker": "sha256:bb", "verdict": "MET", "passed": True, "reason": "as declared"} | given)


def run(key: str, *results: GateResult, day: int = 0, pack: str = "mint") -> GateRun:
    hosts = {one.host: "sha256:cc" for one in results}
    return GateRun(run=key, at=stamp_of(T + day * DAY), pack=pack, policy="sha256:aa", hosts=hosts, results=results)


def test_a_run_comes_back_as_it_was_added(store: Any) -> None:
    odd = result("D236", verdict="UNKNOWN", passed=False, reason="ä\x00\n'; DROP TABLE controlplane_waves; --")
    added = run("RUN-1", result(), odd, result(host="mint-apps", verdict="DRIFTED", passed=True, reason="GAP-1"))
    store.add_run(added, now=T)
    assert store.latest_runs("mint") == (added,)
    assert store.latest_runs("other") == ()


def test_the_runs_of_a_check_on_a_host_come_newest_first_with_that_result_alone(store: Any) -> None:
    drifted = result(verdict="DRIFTED", passed=False, reason="on the boot disk")
    # Of one minute, and added after a later one: the time says what is newest, and then the order of adding.
    for one in (run("RUN-1", result(), result("D236")), run("RUN-3", drifted, result(host="mint-apps"), day=2), run("RUN-2", result(), day=1)):
        store.add_run(one, now=T + 2 * DAY)
    store.add_run(run("RUN-2b", result(), day=1), now=T + 2 * DAY)
    store.add_run(run("RUN-4", result("D236"), day=3), now=T + 3 * DAY)
    found = store.runs_of("D235", "mint-data")
    assert [(one.run, one.results) for one in found] == [
        ("RUN-3", (drifted,)),
        ("RUN-2b", (result(),)),
        ("RUN-2", (result(),)),
        ("RUN-1", (result(),)),
    ]
    assert found[0].hosts == {"mint-data": "sha256:cc", "mint-apps": "sha256:cc"}
    assert [one.run for one in store.runs_of("D235", "mint-data", limit=2)] == ["RUN-3", "RUN-2b"]
    assert store.runs_of("D235", "wiki") == ()


def test_the_latest_runs_of_a_pack_come_newest_first_and_whole(store: Any) -> None:
    runs = [run(f"RUN-{day}", result(), result("D236"), day=day) for day in range(4)]
    for one in (*reversed(runs), run("OTHER", day=9, pack="other")):
        store.add_run(one, now=T + 9 * DAY)
    assert store.latest_runs("mint", 3) == (runs[3], runs[2], runs[1])


def test_the_same_key_twice_is_refused_and_the_first_stays(store: Any) -> None:
    first = run("RUN-1", result())
    store.add_run(first, now=T)
    with pytest.raises(RefusedError) as refused:
        store.add_run(run("RUN-1", result(passed=False), day=1), now=T + DAY)
    assert str(refused.value) == (
        "gate run RUN-1 is on record already, of 2026-01-01T00:00:00Z, and is not replaced. Nothing was changed. Run the gates again."
    )
    assert store.latest_runs("mint") == (first,)


def test_a_run_with_two_results_of_one_check_on_one_host_is_none() -> None:
    with pytest.raises(ValidationError, match="run RUN-1 has two results of D235 on mint-data"):
        run("RUN-1", result(), result(passed=False))


def test_what_a_run_says_of_all_hosts_is_read_once_for_all_places(where: Where) -> None:
    with where.open() as store:
        for day in range(3):
            store.add_run(run(f"RUN-{day}", *(result(host=f"h{number}") for number in range(5)), day=day), now=T + 3 * DAY)
        asked: list[str] = []
        event.listen(store._database.engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
        for number in range(5):
            found = store.runs_of("D235", f"h{number}")
            assert [(one.run, one.results, len(one.hosts)) for one in found] == [(f"RUN-{day}", (result(host=f"h{number}"),), 5) for day in (2, 1, 0)]
        assert sum("hosts" in one for one in asked) == 1
        # One that is added meanwhile is asked for by itself.
        store.add_run(run("RUN-9", result(host="h0"), day=9), now=T + 9 * DAY)
        assert [one.run for one in store.runs_of("D235", "h0", limit=2)] == ["RUN-9", "RUN-2"]


def test_among_five_thousand_results_the_newest_are_found_by_an_index(where: Where) -> None:
    with where.open() as store:
        rows = [{"id": n, "run": f"RUN-{n}", "at": stamp_of(T + n * MINUTE), "pack": "mint", "policy": "p", "hosts": "{}"} for n in range(1, 2501)]
        its = {"position": 0, "checker": "c", "verdict": "MET", "passed": True, "reason": '""'}
        results = [
            {"run_id": row["id"], "at": row["at"], "check_id": f"D{check}", "host": "mint-data"} | its for row in rows for check in range(234, 238, 2)
        ]
        with store._database.transaction() as connection:
            connection.execute(insert(gate_runs), rows)
            connection.execute(insert(gate_results), results)
        if where.store != "sqlite":
            with store._database.transaction() as connection:
                connection.exec_driver_sql("ANALYZE")
        assert [one.run for one in store.runs_of("D236", "mint-data", limit=3)] == ["RUN-2500", "RUN-2499", "RUN-2498"]
        assert [one.run for one in store.latest_runs("mint", 2)] == ["RUN-2500", "RUN-2499"]
        explain = "EXPLAIN QUERY PLAN" if where.store == "sqlite" else "EXPLAIN"
        query = "SELECT * FROM controlplane_gate_results WHERE check_id = 'D236' AND host = 'mint-data' ORDER BY at DESC, run_id DESC LIMIT 3"
        with store._database.reading() as connection:
            plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain} {query}"))
        assert "controlplane_gate_results_newest" in plan
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan
