"""Between which steps the pack was run, by the order of the receipts."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.receipt import Receipt
from controlplane.domain.waves.record import PackRan
from controlplane.domain.waves.verified import awaits_pack, unverified

AT = "2026-01-02T12:00:0{}Z"


def link(number: int, key: str, phase: str, **other: Any) -> Receipt:
    given = {
        "step": key,
        "plan": "sha256:p",
        "run": "R",
        "host": "a",
        "capability": "storage.fstab",
        "outcome": "done" if phase == "result" else None,
    }
    data = {"seq": number, "previous": None, "key": key, "phase": phase, "at": AT.format(number), "site": "s", "policy": "p", "operator": "o"}
    return Receipt.model_validate(data | given | other, strict=False)


def pack(run: str, second: int = 9) -> PackRan:
    return PackRan(run=run, pack="mint", at=AT.format(second), after="*", passed=True, reason="so")


def chain(*steps: tuple[str, str] | tuple[str, str, dict[str, Any]]) -> list[Receipt]:
    return [link(number, step[0], step[1], **(step[2] if len(step) == 3 else {})) for number, step in enumerate(steps)]


PACK = {"plan": "", "capability": "verify.pack.run", "host": "*"}
STEPS = (("s1", "intent"), ("s1", "result"), ("P1", "intent", PACK), ("s2", "intent"), ("s2", "result"))


def asked(held: list[Receipt], *packs: PackRan) -> tuple[list[str], str | None]:
    last = awaits_pack(held, plans=["sha256:p"], packs=packs)
    return [one.key for one in unverified(held, plans=["sha256:p"], packs=packs)], last.key if last is not None else None


def test_a_run_of_the_pack_speaks_for_the_step_that_ended_before_it_and_for_none_after() -> None:
    held = chain(*STEPS)
    assert asked(held, pack("P1")) == (["s2"], "s2")
    assert asked(held) == (["s1", "s2"], "s2")
    held = chain(*STEPS, ("P2", "intent", PACK))
    assert asked(held, pack("P1"), pack("P2")) == ([], None)
    # Nothing makes up for the one between.
    assert asked(held, pack("P2")) == (["s1"], None)


def test_a_run_that_these_receipts_lack_stands_by_its_time() -> None:
    held = chain(*STEPS)
    assert asked(held, pack("elsewhere", 2)) == (["s2"], "s2")
    assert asked(held, pack("elsewhere", 0)) == (["s1", "s2"], "s2")


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({"outcome": "failed"}, ["s2"]),
        ({"outcome": "interrupted"}, []),
        ({"undoes": "s1", "outcome": "rolled-back"}, []),
        ({"plan": "sha256:other"}, []),
        ({"step": "*"}, []),
    ],
)
def test_only_steps_of_the_wave_that_ended_by_themselves_are_asked_about(other: dict[str, Any], found: list[str]) -> None:
    held = chain(*STEPS[:3], ("s2", "intent", {**other, "outcome": None}), ("s2", "result", other))
    assert asked(held, pack("P1"))[0] == found


def test_a_step_that_goes_on_is_none_that_ended() -> None:
    assert asked(chain(*STEPS[:4]), pack("P1")) == ([], None)
