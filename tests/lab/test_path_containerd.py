"""storage.persistent_paths where Docker keeps layers in containerd's store: data from a container's own layer, there and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, planned, verdicts

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ONLY = ("--capability", "storage.data_disk", "--capability", "storage.fstab", "--capability", "storage.persistent_paths")
_STACK = """services:
  notes:
    image: "lab/services:1"
    container_name: notes
    command: [sleep, infinity]
    init: true
  other:
    image: "lab/services:1"
    container_name: other
    command: [sleep, infinity]
    init: true
"""
_POLICY = """      notes: {kind: files, data: /srv/deep/notes, place: /mnt/data/notes, proof: [sh, -c, "cat /srv/deep/notes/* | sha256sum"]}
    stacks: [{project: notes, dir: /opt/stacks/notes}]
"""


def test_data_in_a_layer_of_the_containerd_image_store_are_moved_and_come_back(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(image_store="containerd", services=True)
    assert "io.containerd.snapshotter.v1" in host.sh("docker info -f '{{.DriverStatus}}'")
    host.sh("mkdir -p /opt/stacks/notes")
    host.run(["sh", "-c", "cat > /opt/stacks/notes/compose.yml"], stdin=_STACK.encode())
    host.sh("docker compose -f /opt/stacks/notes/compose.yml up -d --wait")
    # Beside the data something that no policy names, a mode that only a way back keeps, and a file of the image that was deleted.
    host.sh("docker exec notes sh -c 'mkdir -m 750 -p /srv/deep/notes; chown 4242:4343 /srv/deep /srv/deep/notes; echo one > /srv/deep/notes/1'")
    host.sh("docker exec notes sh -c 'ln /srv/deep/notes/1 /srv/deep/notes/again; echo beside > /opt/beside; rm /etc/services'")
    other = host.sh("docker inspect -f '{{.Id}} {{.State.StartedAt}}' other")
    site = Operator(host, tmp_path)
    policy = site.site / "policy.yml"
    head, found, _ = policy.read_text().partition("    services:\n")
    assert found
    policy.write_text(f"{head}    services:\n{_POLICY}")

    plan = site.plan("plan.json", *ONLY)
    assert plan["refusals"] == []
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    assert host.sh("docker exec notes sh -c 'cat /srv/deep/notes/1; stat -c %h:%u:%g /srv/deep/notes/again'") == "one\n2:0:0\n"
    assert host.sh("stat -c %u:%g:%a /mnt/data/notes; cat /mnt/data/notes/1") == "4242:4343:750\none\n"
    # Its container is a new one: what else the old one wrote is kept, and said to be.
    [kept] = host.sh("ls -d /var/lib/controlplane/*/layer").split()
    assert host.sh(f"cat {kept}/opt/beside {kept}/srv/deep/notes/1; stat -c '%F' {kept}/etc/services") == "beside\none\ncharacter special file\n"
    assert host.sh("grep -c /run/controlplane /proc/self/mountinfo || true") == "0\n"
    again = site.applied()
    assert (again["run"], again["changed"]) == (None, [])

    host.sh("docker exec notes sh -c 'echo two > /srv/deep/notes/2'")
    back = site.run("rollback", result["run"], "-o", "json")
    assert back.code == 0, back.err
    assert host.sh("docker exec notes cat /srv/deep/notes/1 /srv/deep/notes/2") == "one\ntwo\n"
    assert host.sh("docker exec notes stat -c %u:%g:%a /srv/deep /srv/deep/notes").split() == ["4242:4343:755", "4242:4343:750"]
    assert host.sh("docker inspect -f '{{json .Mounts}}' notes") == "[]\n"
    assert host.sh("cat /opt/stacks/notes/compose.yml") == _STACK
    assert host.sh("docker inspect -f '{{.Id}} {{.State.StartedAt}}' other") == other
