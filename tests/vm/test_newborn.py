"""A new machine is born as its policy says, and is called ready only after it has shown that over a reboot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vm.newborn import MOUNT, bring_to_life
from tests.vm.provisioning import NAME, libvirt_host, why_no_libvirt

pytestmark = [pytest.mark.vm, pytest.mark.slow]


def test_from_policy_to_the_ready_receipt(tmp_path: Path) -> None:
    if reason := why_no_libvirt():
        pytest.skip(reason)
    with libvirt_host(f"cpnew-{os.getpid()}", tmp_path / "host") as host:
        made = bring_to_life(host, tmp_path)
        ready = made.said["reboot and ready"].json
        assert ready["ready"] is True, ready
        audit = made.site.run("audit", "-o", "json").json
        assert {finding["verdict"] for finding in audit["findings"]} == {"MET"}, audit
        # It never had another place.
        assert made.ssh("sudo docker info -f '{{.DockerRootDir}}'") == f"{MOUNT}/docker"
        assert made.ssh("sudo find /var/lib/docker /var/lib/containerd -mindepth 1 2>/dev/null | head -3; true") == ""
        for verb in ("provision", "bootstrap"):
            again = made.site.run(verb, NAME, "-o", "json")
            assert (again.code, again.json["steps"]) == (0, []), again
        assert made.site.run("receipts", "verify").code == 0
