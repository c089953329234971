"""What was named is gone, nothing else is, and the timer does the same within its limits."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_the_named_images_are_gone_and_the_log_is_cut_while_its_container_goes_on() -> None:
    assert on_machine("docker images --format '{{.Repository}}:{{.Tag}}'").split() == ["lab/services:1"]
    assert on_machine("stat -c %s $(docker inspect -f '{{.LogPath}}' talks); docker inspect -f '{{.State.Running}}' talks").split() == ["0", "true"]
    assert on_machine("docker exec talks cat /data/file") == "kept\n"


def test_planned_and_freed_stand_side_by_side() -> None:
    journal = json.loads(on_machine("cat /var/lib/controlplane/CAP-20260101-000000__docker.hygiene__R0001/state.json"))
    assert (journal["phase"], journal["planned"], len(journal["removed"])) == ("done", 200_020, 3)
    assert journal["freed"]["logs"] >= 200_000


def test_the_timer_is_on_and_removes_what_no_budget_has_room_for_and_nothing_else() -> None:
    assert verdicts()["docker.hygiene_timer"] == "MET"
    assert on_machine("systemctl is-enabled controlplane-hygiene.timer; systemctl is-active controlplane-hygiene.timer").split() == [
        "enabled",
        "active",
    ]
    settings = "/var/lib/controlplane/hygiene/settings.json"
    on_machine(
        "for release in 3 4 5; do echo $release > /root/release; tar -C /root -c release | docker import - shop/app:$release; sleep 1.1; done; "
        f"sed -i 's/15000000000/1/' {settings}; systemctl start controlplane-hygiene.service"
    )
    # The newest two of a repository stay, and so does what a container was made from.
    assert on_machine("docker images --format '{{.Repository}}:{{.Tag}}' | sort").split() == ["lab/services:1", "shop/app:4", "shop/app:5"]
    receipt = json.loads(on_machine("cat /var/lib/controlplane/hygiene/receipts/*.json"))
    assert [one.split(" ")[-1] for one in receipt["removed"]] == ["shop/app:3"]
