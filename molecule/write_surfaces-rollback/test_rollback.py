"""The way back brings what is in it into the container's own layer, and the compose file is as it was."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_it_is_as_it_was() -> None:
    assert verdicts()["write_surface:page:/tmp/uploads"] == "DRIFTED"
    assert "volumes" not in on_machine("cat /opt/stacks/page/compose.yml")
    assert on_machine("docker exec page sh -c 'cat /tmp/uploads/one; stat -c %u:%g /tmp/uploads /tmp/uploads/one'") == "one\n4242:4343\n4242:4343\n"
    assert on_machine("docker inspect -f '{{json .Mounts}}' page") == "[]\n"
