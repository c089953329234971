"""A preview's last lines: what it destroys, and what several steps cost one service together."""

from __future__ import annotations

import pytest

from controlplane.cli.preview import show_plan
from controlplane.domain.plan import Binds, Change, Downtime, Mend, Plan, Step
from controlplane.usecases.plan_wave import downtime_of


def step(number: int, *services: str, seconds: int | None) -> Step:
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


def test_a_wave_promises_no_downtime_of_which_a_part_is_not_known() -> None:
    steps = (step(10, "db", "cache", seconds=None), step(20, "db", seconds=76), step(30, "other", seconds=5), step(40, "other", seconds=6))
    made = Plan.model_construct(plan="sha256:0", steps=steps, bounds=(), refusals=(), hosts=("h",), binds=Binds.model_construct())
    assert downtime_of(made) == {"db": None, "cache": None, "other": 11}


def test_a_downtime_that_is_not_known_is_told_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    steps = (step(10, "db", seconds=None), step(20, "db", seconds=76))
    made = Plan.model_construct(plan="sha256:0", steps=steps, bounds=(), refusals=(), hosts=("h",), binds=Binds.model_construct())
    show_plan(made, None)
    told = [line.strip() for line in capsys.readouterr().out.splitlines() if "downtime" in line]
    assert told == [
        "downtime   not known for db: how much moves was not measured in time; the room for it is, before anything stops",
        "downtime   at most 76 s for db",
        "downtime   h: db stops 2 times, for how long in all is not known; without what was not measured (1 step) at most 76 s",
    ]
