"""A run of which a part was done already does the rest."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_rest_is_gone_and_the_container_goes_on() -> None:
    assert verdicts()["docker.hygiene_timer"] == "MET"
    assert on_machine("docker images --format '{{.Repository}}:{{.Tag}}'").split() == ["lab/services:1"]
    assert on_machine("docker inspect -f '{{.State.Running}}' talks") == "true\n"
