"""What a unit's verb told of how data fared is at the top of what is waited for: there the controller hears it."""

from __future__ import annotations

from pathlib import Path

from controlplane_target import leg_verbs
from controlplane_target.state import Home


def test_what_a_verb_told_is_heard_once_its_unit_has_ended(tmp_path: Path) -> None:
    run = Home(tmp_path).run("R1")
    told = {"container": "shop", "paths": [{"data": "/data", "proof": {"not_proven": ["all of it"]}}]}
    run.write(phase="undone", unit=None, outcome={"verb": "undo", "rc": 0, "message": "", "answer": {"changed": True, "told": told}})
    assert leg_verbs.wait(run, 0, None)["told"] == told
    run.write(outcome={"verb": "undo", "rc": 0, "message": "", "answer": {"changed": True}})
    assert "told" not in leg_verbs.wait(run, 0, None)
