"""A path that lies in memory is refused, and nothing is stopped."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_names_the_path() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "uploads of page lies in memory" in said
    assert "Nothing was changed." in said


def test_it_runs_as_it_did() -> None:
    assert verdicts()["write_surface:page:/tmp/uploads"] == "DRIFTED"
    assert (
        on_machine("docker inspect -f '{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}' page; ls /mnt/data")
        == "true unless-stopped\nlost+found\n"
    )
