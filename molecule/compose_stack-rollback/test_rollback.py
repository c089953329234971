"""The way back brings the files byte for byte, and the very images that ran, a service that the release had ended among them."""

import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts


def test_what_was_before_runs_again() -> None:
    assert verdicts()["service:till"] == "MET"
    on_machine("sha256sum --check --quiet /root/files")
    assert on_machine("ls -A /opt/stacks/till; stat -c %a /opt/stacks/till/.env") == ".env\ncompose.yml\n644\n"
    assert on_machine("docker ps -a --format '{{.Names}} {{.Image}} {{.State}}' | sort") == (
        "till 127.0.0.1:5000/shop/till:0 running\ntill-old-1 127.0.0.1:5000/shop/page:0 running\n"
    )
    assert on_machine("docker exec till printenv RELEASE; docker exec till cat /srv/till/file") == "0\nsold\n"


def test_nothing_of_the_run_is_left_enabled_or_on_record() -> None:
    assert on_machine("ls /etc/systemd/system | grep controlplane-settle || true; ls /var/lib/controlplane/releases; ls -A /run/controlplane") == ""
