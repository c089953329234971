"""A deployment whose power went when a container was gone ends well by itself, and finds nothing to do the second time."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

JOURNAL = "/var/lib/controlplane/CAP-20260101-000000__release.deploy__R0001/state.json"


def test_the_release_runs_and_the_run_is_closed() -> None:
    assert verdicts()["service:till"] == "MET"
    images = json.loads(on_machine("cat /root/images.json"))
    assert on_machine("docker inspect -f '{{.Config.Image}} {{.State.Health.Status}}' till till-page-1") == (
        f"{images['till']} healthy\n{images['page']} healthy\n"
    )
    assert json.loads(on_machine(f"cat {JOURNAL}"))["phase"] == "done"
    assert on_machine("ls /etc/systemd/system | grep controlplane-settle || true; ls -A /run/controlplane 2>/dev/null || true") == ""


def test_the_downtime_counts_from_the_cut() -> None:
    journal = json.loads(on_machine(f"cat {JOURNAL}"))
    assert journal["downtime_s"]["till"] > journal["finished_at"] - journal["phase_at"]["deploying"] - 20
