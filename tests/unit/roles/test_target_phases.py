"""To which side a crash in each phase is settled; the whole table."""

from __future__ import annotations

import pytest
from controlplane_target import phases

TABLE = {
    # phase: (with the destination there, without it)
    "new": ("untouched", "untouched"),
    "prepared": ("untouched", "untouched"),
    "precopying": ("untouched", "untouched"),
    "precopied": ("untouched", "untouched"),
    "staging": ("untouched", "untouched"),
    "stopping": ("source", "source"),
    "stopped": ("source", "source"),
    "copied": ("source", "source"),
    "compared": ("destination", "source"),
    "switched": ("destination", "source"),
    "starting": ("destination", "blocked"),
    "answered": ("destination", "blocked"),
    "reverting": ("source", "source"),
    "done": ("untouched", "untouched"),
    "reverted": ("untouched", "untouched"),
    "undone": ("untouched", "untouched"),
    "given-up": ("untouched", "untouched"),
}


def test_the_table_names_every_phase() -> None:
    assert set(TABLE) == set(phases.ALL)


@pytest.mark.parametrize("phase", TABLE)
def test_a_crash_is_settled_to_one_side(phase: str) -> None:
    assert (phases.side(phase, destination_there=True), phases.side(phase, destination_there=False)) == TABLE[phase]


def test_exactly_the_phases_between_stop_and_end_are_critical() -> None:
    assert {phase for phase, sides in TABLE.items() if sides != ("untouched", "untouched")} == set(phases.CRITICAL)
