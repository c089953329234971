"""A preview's last lines: what it destroys, and what several steps cost one service together."""

from __future__ import annotations

import pytest

from controlplane.cli.preview import show_plan
from controlplane.domain.plan import Binds, Change, Downtime, Mend, Plan, Step


def step(number: int, *services: str, seconds: int) -> Step:
    return Step(
        id=f"h/{number:03d}",
        host="h",
        capability="c",
        role="r",
        mends=(Mend(check="D236", surface="s"),),
        changes=(Change(kind="move", target="t", before="a", after="b"),),
        downtime=Downtime(services=services, estimate_s=seconds),
        undo="back",
        variables={},
    )


def test_what_several_steps_cost_one_service_stands_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    steps = (step(10, "db", "cache", seconds=93), step(20, "db", seconds=76), step(30, "other", seconds=5))
    made = Plan.model_construct(plan="sha256:0", steps=steps, bounds=(), refusals=(), hosts=("h",), binds=Binds.model_construct())
    show_plan(made, None)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("downtime")]
    assert told == ["downtime   h: db stops 2 times, at most 169 s in all"]
