"""What the chain of receipts says of a wave's runs."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.record import Planned, WaveRecord, record_of
from controlplane.domain.waves.trail import failed_hosts, last_run, settled, unclosed

PLANNED = Planned(plan="p", file="f", made_at="m", capabilities=("storage.fstab",), hosts=("a",), steps=1, downtime_s={})
RECORD = WaveRecord(opened_by="ann", opened_at="2026-01-02T12:00:00Z", attempt="x", head=None, plans=(PLANNED,))


def receipt(key: str, phase: str, *, step: str = "*", run: str = "R1", host: str = "*", plan: str = "p", **more: Any) -> Receipt:
    told = {"seq": 1, "previous": None, "at": "2026-01-02T12:05:00Z", "site": "s", "capability": "c", "policy": "p", "operator": "o"}
    return Receipt.model_validate(told | {"key": key, "phase": phase, "step": step, "run": run, "host": host, "plan": plan} | more)


def whole(outcome: str | None, run: str = "R1") -> list[Receipt]:
    return [receipt(run, "intent", run=run), *([receipt(run, "result", run=run, outcome=outcome)] if outcome else [])]


def step(outcome: str | None, key: str = "S1", host: str = "a", name: str = "a/010") -> list[Receipt]:
    ends = [receipt(key, "result", step=name, host=host, outcome=outcome, reason="why")] if outcome else []
    return [receipt(key, "intent", step=name, host=host), *ends]


def undone(key: str, outcome: str = "rolled-back") -> list[Receipt]:
    named = {"step": "a/010", "host": "a", "undoes": key}
    return [receipt(f"U{key}", "intent", **named), receipt(f"U{key}", "result", outcome=outcome, **named)]


@pytest.mark.parametrize(
    ("chain", "run", "outcome", "is_open"),
    [
        ([], None, None, False),
        (whole("refused"), None, None, False),
        (whole(None), "R1", None, True),
        (whole("done") + step("done"), "R1", "done", False),
        (whole("failed") + step("failed"), "R1", "failed", False),
        (whole("refused") + whole("done", "R2"), "R2", "done", False),
        (whole("done") + step("done") + undone("S1"), "R1", "rolled-back", False),
        (whole("done") + step("done") + step("done", "S2", name="a/020") + undone("S2"), "R1", "done, partly rolled back", False),
        (whole(None) + step("done") + step(None, "S2", name="a/020") + undone("S2"), "R1", "open, partly rolled back", True),
        (whole(None) + step("done") + undone("S1", "failed"), "R1", None, True),
        (whole("interrupted") + step("done") + step("interrupted", "S2") + undone("S2"), "R1", "interrupted, partly rolled back", False),
    ],
)
def test_a_run_ended_as_its_receipts_say(chain: list[Receipt], run: str | None, outcome: str | None, is_open: bool) -> None:
    [planned] = settled(RECORD, chain).plans
    assert (planned.run, planned.outcome, planned.is_open) == (run, outcome, is_open)
    assert planned.waits == (run is None)
    assert planned.was_abandoned == (outcome is not None and "interrupted" in outcome)


def test_a_failed_step_is_its_hosts_until_it_is_done_or_taken_back() -> None:
    planned = PLANNED.model_copy(update={"run": "R1"})
    assert failed_hosts(planned, [*whole("failed"), *step("failed")]) == {"a": "a/010 c failed: why"}
    assert failed_hosts(planned, [*whole(None), *step("failed"), *step("done", "S2")]) == {}
    assert failed_hosts(planned, [*whole("failed"), *step("failed"), *undone("S1")]) == {}
    assert failed_hosts(planned, [*whole("failed"), *step("failed"), *step("done", "S2", host="b", name="b/010")]) == {"a": "a/010 c failed: why"}
    assert failed_hosts(PLANNED.model_copy(update={"run": "R9"}), [*whole("failed"), *step("failed")]) == {}


GONE: dict[str, Any] = {"outcome": "interrupted", "reason": "abandoned: why", "told": {"unreached": {"a": "timed out"}}}


def test_a_host_that_a_run_was_abandoned_for_is_out_until_its_steps_went_back() -> None:
    planned = PLANNED.model_copy(update={"run": "R1"})
    begun = [receipt("S1", "intent", step="a/010", host="a")]
    lost = [*begun, receipt("S1", "result", step="a/010", host="a", **GONE)]
    whole_lost = [receipt("R1", "intent"), receipt("R1", "result", **GONE)]
    assert failed_hosts(planned, [*whole_lost, *lost]) == {"a": "its run was abandoned: why"}
    assert failed_hosts(planned, [*lost, *whole_lost]) == {"a": "a/010 c was abandoned: why"}
    assert failed_hosts(planned, [*whole_lost, *step("done"), *step("done", "S2", host="b", name="b/010")]) == {"a": "its run was abandoned: why"}
    assert failed_hosts(planned, [*lost, *whole_lost, *undone("S1")]) == {}
    # What deletes is abandoned where it answers, too: it is planned again.
    answering = receipt("S1", "result", step="a/010", host="a", outcome="interrupted", reason="abandoned: why", told={"unreached": {}})
    assert failed_hosts(planned, [*begun, answering]) == {}


def test_a_host_that_was_lost_on_its_way_back_is_out_as_well() -> None:
    planned = PLANNED.model_copy(update={"run": "R1"})
    named = {"step": "a/010", "host": "a", "undoes": "S1"}
    back = [receipt("U1", "intent", **named), receipt("U1", "result", **named, **GONE)]
    assert failed_hosts(planned, [*whole("done"), *step("done"), *back]) == {"a": "a/010 c, on its way back, was abandoned: why"}
    assert failed_hosts(planned, [*whole("done"), *step("done"), *back, *undone("S1")]) == {}


def test_a_run_between_two_steps_is_as_open_as_one_within_a_step() -> None:
    between = [*whole(None), *step("done")]
    assert [one.key for one in unclosed(between, hosts=("a",))] == ["R1"]
    assert unclosed(between, hosts=("b",)) == ()
    assert [one.key for one in unclosed(between, hosts=(), plans=("p",))] == ["R1"]
    assert unclosed([*whole("done"), *step("done")], hosts=("a",)) == ()


def test_a_record_is_read_back_as_it_was() -> None:
    assert record_of(RECORD.plain()) == RECORD
    assert last_run("p", []) is None
