"""A removal that was killed goes on and ends."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_retired_path_is_gone_and_no_longer_on_record() -> None:
    assert "retired:/var/lib/old-root" not in verdicts()
    assert on_machine("ls -d /var/lib/old-root /var/lib/.controlplane-purging-old-root 2>/dev/null || echo gone") == "gone\n"


def test_what_nobody_named_stays_with_its_record_and_so_does_the_engine() -> None:
    assert verdicts()["retired:/var/lib/kept-root"] == "DRIFTED"
    assert on_machine("cat /var/lib/kept-root/sub/file") == "kept"
    assert on_machine("docker info --format {{.DockerRootDir}}") == "/var/lib/docker\n"
