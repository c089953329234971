"""The machine's timer chooses what to remove as a plan does."""

from __future__ import annotations

import random

from controlplane_target import hygiene_judge

from controlplane.domain import hygiene
from tests.unit.domain.test_hygiene import MB, image, record


def test_the_machines_timer_chooses_as_a_plan_does() -> None:
    dice = random.Random(7)  # noqa: S311 - cases, no secrets
    for _ in range(300):
        images = [
            image(
                str(n),
                created=dice.randrange(1000),
                size=dice.choice([0, dice.randrange(1, 300)]) * MB,
                containers=dice.choice([0, 0, 1]),
                tags=dice.sample(["a:1", "a:2", "b:1", "golden/x:1", "c/d:5"], dice.randrange(3)),
                tagged=dice.choice([None, dice.randrange(1000)]),
            )
            for n in range(dice.randrange(8))
        ]
        names = [str(n) for n in range(dice.randrange(8))]
        records = [
            record(
                name,
                last_used=dice.choice([None, dice.randrange(100)]),
                parents=dice.sample(names[:number], min(number, dice.randrange(3))),
                in_use=dice.choice([False, False, True]),
                shared=dice.choice([False, False, True]),
            )
            for number, name in enumerate(names)
        ]
        over, keep = dice.randrange(-100, 900) * MB, dice.randrange(3)
        assert hygiene.doomed_images(images, over=over, keep=keep, protect=["golden/*"]) == hygiene_judge.doomed_images(
            images, over=over, keep=keep, protect=["golden/*"]
        )
        assert hygiene.doomed_cache(records, over=over) == hygiene_judge.doomed_cache(records, over=over)
