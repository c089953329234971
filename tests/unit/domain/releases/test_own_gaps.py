"""Which gaps a release has to close first, and when nobody can say."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.registers import Registers
from controlplane.domain.releases.own_gaps import own_gaps

LOOP = "LOOP-SHOP-20260101"
HELD: dict[str, Any] = {
    "loops": {LOOP: {"title": "shop"}, "LOOP-ALL": {"title": "all"}},
    "gaps": {
        "GAP-OP-1": {"title": "too slow", "loops": [LOOP]},
        "GAP-OP-2": {"title": "mended", "status": "fixed", "loops": [LOOP]},
        "GAP-OP-3": {"title": "of others", "loops": ["LOOP-ALL"]},
    },
}


def held(**loop: Any) -> Registers:
    return Registers.model_validate({**HELD, "loops": {**HELD["loops"], LOOP: {"title": "shop", **loop}}}, strict=False)


def test_those_of_its_loop_that_are_open_are_its_own() -> None:
    assert own_gaps("shop", LOOP, held()) == (("GAP-OP-1",), None, None)
    assert own_gaps("shop", "LOOP-ALL", held()).open == ("GAP-OP-3",)


@pytest.mark.parametrize(
    ("loop", "registers", "doubt", "step"),
    [
        (
            None,
            held(),
            "the release names no loop, so nobody knows which gaps are its own",
            "controlplane loops file --title 'Release shop', then write the id that it says as loop: LOOP-… in releases/shop.yml",
        ),
        (LOOP, None, "the site's registers could not be read", "controlplane gaps status"),
        ("LOOP-NONE", held(), "there is no LOOP-NONE in registers/loops.yml: file it, or name the right one", "mend loop in releases/shop.yml"),
        (
            LOOP,
            held(status="absorbed", absorbed_by="LOOP-ALL"),
            f"{LOOP} was absorbed by LOOP-ALL, and its gaps with it: name that one",
            "mend loop in releases/shop.yml",
        ),
    ],
)
def test_where_nobody_can_say_that_is_a_doubt_and_no_none(loop: str | None, registers: Registers | None, doubt: str, step: str) -> None:
    assert own_gaps("shop", loop, registers) == ((), doubt, step)
