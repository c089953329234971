"""Which checks the receipts say were enforced by an approved promotion."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.gates.promoted import Promoted, promoted
from controlplane.domain.receipt import Receipt

CHANGE = {"check": "D235", "host": "a", "field": "modes.D235.a", "before": "report", "after": "enforce", "runs": []}
APPROVAL = {"approval": {"plan": "sha256:p", "approver": "bob", "approved_at": "t", "expires_at": "t"}}


def link(key: str, phase: str, told: Any, *, verb: str = "promote", outcome: str | None = None) -> Receipt:
    data = {"seq": 1, "previous": None, "key": key, "run": key, "phase": phase, "at": "2026-01-02T12:00:00Z", "site": "s", "host": "*"}
    data |= {"capability": f"gates.{verb}", "step": "gates.yml", "plan": "", "policy": "p", "operator": "ann", "told": told, "outcome": outcome}
    return Receipt.model_validate(data, strict=False)


def changed(key: str = "CAP-1", *, verb: str = "promote", outcome: str = "done", given: Any = APPROVAL, change: Any = CHANGE) -> list[Receipt]:
    changes = {"changes": [change], "file": "sha256:f"}
    return [link(key, "intent", {**(given or {}), **changes}, verb=verb), link(key, "result", changes, verb=verb, outcome=outcome)]


def test_an_approved_promotion_is_known_by_its_receipt_and_its_approver() -> None:
    assert promoted(changed()) == {("D235", "a"): Promoted("CAP-1", "bob")}


@pytest.mark.parametrize(
    "chain",
    [
        changed(given=None),
        changed(given={"approval": None}),
        changed(outcome="failed"),
        changed()[:1],
        changed()[1:],
        changed(change=CHANGE | {"after": "report"}),
        changed(change="D235"),
        [*changed(), *changed("CAP-2", verb="demote", change=CHANGE | {"after": "report"})],
        [*changed(), *changed("CAP-2", given=None)],
        [link("CAP-1", "intent", None), link("CAP-1", "result", None, outcome="done")],
    ],
)
def test_what_was_not_approved_done_and_left_so_is_no_promotion(chain: list[Receipt]) -> None:
    assert promoted(chain) == {}


def test_the_last_promotion_counts() -> None:
    down = changed("CAP-2", verb="demote", change=CHANGE | {"after": "report"})
    assert promoted([*changed(), *down, *changed("CAP-3")]) == {("D235", "a"): Promoted("CAP-3", "bob")}
