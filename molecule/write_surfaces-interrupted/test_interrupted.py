"""A run whose power went when there was no container ends well by itself, and finds nothing to do the second time."""

import json
import sys
from pathlib import Path

# What scenarios share lies beside their configuration.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / ".config/molecule"))
from judging import on_machine, verdicts

JOURNAL = "/var/lib/controlplane/CAP-20260101-000000__storage.write_surfaces__R0001/state.json"


def test_it_is_bound_with_what_was_in_it_and_the_run_is_closed() -> None:
    assert verdicts()["write_surface:page:/tmp/uploads"] == "MET"
    assert on_machine("docker exec page cat /tmp/uploads/one; docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' page") == "one\nunless-stopped\n"
    assert json.loads(on_machine(f"cat {JOURNAL}"))["phase"] == "done"
    assert on_machine("ls /etc/systemd/system | grep controlplane-settle || true") == ""
