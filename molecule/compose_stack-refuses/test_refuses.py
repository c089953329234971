"""All that speaks against a release is told at once, and what runs goes on."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_names_each_reason() -> None:
    said = on_machine("cat /run/scenario-said")
    assert said.count("is not here and can't be pulled: its registry does not answer") == 2
    assert "beside lives in the namespaces of till, and would be left in dead ones" in said
    assert "Nothing was changed." in said


def test_it_runs_as_it_did() -> None:
    assert verdicts()["service:till"] == "MET"
    on_machine("sha256sum --check --quiet /root/files")
    assert (
        on_machine("docker inspect -f '{{.Config.Image}} {{.RestartCount}}' till; ls -A /opt/stacks/till")
        == "127.0.0.1:5000/shop/till:0 0\n.env\ncompose.yml\n"
    )
