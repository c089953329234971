"""All that speaks against a move is told at once, and nothing is stopped."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_message_names_each_reason() -> None:
    said = on_machine("cat /run/scenario-said")
    assert "/mnt/data/shop is not empty, and no run of this program on this host made it" in said
    assert "shop was not made from /opt/stacks/shop/compose.yml as they are" in said
    assert "Nothing was changed." in said


def test_it_runs_as_it_did() -> None:
    assert verdicts()["service:shop"] == "DRIFTED"
    on_machine("docker exec -i shop sh -c 'cd /srv/shop && sha256sum --check --quiet -' < /root/parts")
    assert (
        on_machine("ls -A /mnt/data/shop; docker inspect -f '{{.RestartCount}} {{.HostConfig.RestartPolicy.Name}}' shop")
        == "somebody\n0 unless-stopped\n"
    )
