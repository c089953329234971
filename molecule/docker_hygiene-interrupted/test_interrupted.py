"""A run whose power went after its first removal does the rest."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

JOURNAL = "/var/lib/controlplane/CAP-20260101-000000__docker.hygiene__R0001/state.json"


def test_the_rest_is_gone_and_nothing_else_and_the_container_goes_on() -> None:
    assert verdicts()["docker.hygiene_timer"] == "MET"
    assert on_machine("docker images --format '{{.Repository}}:{{.Tag}}' | sort").split() == ["lab/services:1", "shop/other:1"]
    assert on_machine("stat -c %s $(docker inspect -f '{{.LogPath}}' talks); docker inspect -f '{{.State.Running}}' talks").split() == ["0", "true"]
    assert on_machine("docker exec talks cat /data/file") == "kept\n"


def test_the_journal_names_each_once_in_the_order_of_the_plan() -> None:
    journal, items = json.loads(on_machine(f"cat {JOURNAL}")), json.loads(on_machine("cat /root/items.json"))
    assert (journal["phase"], journal["removing"]) == ("done", None)
    assert journal["removed"] == [f"{item['kind']} {item['id']}" for item in items]
    assert journal["freed"]["logs"] >= 200_000
