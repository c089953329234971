"""An image that a container was made from since is refused, and nothing else is removed either."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_names_the_image() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "a container was made of image shop/app:2" in said
    assert "Nothing was changed." in said


def test_everything_is_there() -> None:
    assert verdicts()["docker.hygiene_timer"] == "DRIFTED"
    assert len(on_machine("docker images --format '{{.Repository}}:{{.Tag}}'").split()) == 4
    assert on_machine("stat -c %s $(docker inspect -f '{{.LogPath}}' talks)").strip() != "0"
