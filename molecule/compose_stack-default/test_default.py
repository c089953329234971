"""The release runs by its digests, healthy, from its files; what was no part of it any more is gone, and data stayed."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_it_runs_by_digest_and_its_data_lie_where_they_lay() -> None:
    assert verdicts()["service:till"] == "MET"
    images = json.loads(on_machine("cat /root/images.json"))
    seen = on_machine("docker inspect -f '{{.Name}} {{.Config.Image}} {{.State.Health.Status}}' till till-page-1")
    assert seen == f"/till {images['till']} healthy\n/till-page-1 {images['page']} healthy\n"
    assert on_machine("docker ps -aq | wc -l; docker exec till cat /srv/till/file") == "2\nsold\n"


def test_its_files_say_so_and_only_root_reads_the_environment() -> None:
    names = on_machine(
        "stat -c '%n %a %U' /opt/stacks/till/.env /opt/stacks/till/compose.yml /opt/stacks/till/compose.release.yml; ls -A /opt/stacks/till | wc -l"
    )
    assert names.split("\n")[:4] == [
        "/opt/stacks/till/.env 600 root",
        "/opt/stacks/till/compose.yml 644 root",
        "/opt/stacks/till/compose.release.yml 644 root",
        "3",
    ]
    assert on_machine("docker exec till-page-1 printenv GREETING") == "good morning\n"
    assert on_machine("grep -rl a-word-for-scenarios /var/lib/controlplane /run/controlplane 2>/dev/null || true") == ""


def test_the_journal_tells_how_long_each_service_that_was_up_was_down() -> None:
    journal = json.loads(on_machine("cat /var/lib/controlplane/CAP-20260101-000000__release.deploy__R0001/state.json"))
    assert (journal["phase"], set(journal["downtime_s"])) == ("done", {"till"})
    assert 0 < journal["downtime_s"]["till"] < 60
