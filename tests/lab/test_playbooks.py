"""Playbooks that an operator runs by hand, by the commands that their heads tell: mounts guarded, the glass broken, runs undone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.playing import RUN, Played, run_as_its_head_tells
from tests.lab.test_fstab import DROP_IN, GUARDS, UUID, wanted, with_filesystem

pytestmark = pytest.mark.lab

FIRST, GLASS, AGAIN = (RUN.format("storage.fstab", number) for number in (1, 2, 3))


def test_mounts_are_guarded_the_glass_is_broken_with_a_receipt_and_each_run_is_undone(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = with_filesystem(machine(data_bytes=2**30))
    before = host.sh("cat /etc/fstab")

    def ran(playbook: str, variables: dict[str, object], *more: str) -> Played:
        played = run_as_its_head_tells(host, playbook, variables, tmp_path, *more)
        assert played.code == 0, played.text
        return played

    # As its head tells, the preview changes nothing.
    preview = ran("guard-mounts", wanted(key=FIRST), "--check", "--diff")
    assert f"+UUID={UUID} /mnt/data ext4" in preview.text
    assert host.sh(f"cat /etc/fstab; find {DROP_IN} /var/lib/controlplane -type f 2>/dev/null || true") == before
    ran("guard-mounts", wanted(key=FIRST))
    guarded = host.sh("cat /etc/fstab")
    assert guarded == f"{before}UUID={UUID} /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=10s 0 0\n"
    assert host.sh("findmnt -no UUID /mnt/data").strip() == UUID
    assert host.sh(f"cat {DROP_IN}") == GUARDS[1]["text"]
    assert ran("guard-mounts", wanted(key=FIRST)).changed == 0

    # Another run's key: the lease of the one before was given back.
    broken = ran("break-glass", {"fstab_run": GLASS, "fstab_break_glass_who": "ops", "fstab_break_glass_why": "the disk is dead"})
    assert "Docker can start without its disk now" in broken.said
    place = f"/var/lib/controlplane/{GLASS}/break-glass.json"
    assert f"The receipt is {place}." in broken.said
    receipt = json.loads(host.sh(f"cat {place}"))
    assert (receipt["run"], receipt["who"], receipt["why"]) == (GLASS, "ops", "the disk is dead")
    assert receipt["boot_id"] == host.sh("cat /proc/sys/kernel/random/boot_id").strip()
    host.sh(f"test $(( $(date +%s) - $(date -d {receipt['when']} +%s) )) -lt 300")
    assert [one["text"] for one in receipt["removed"]] == [guard["text"] for guard in GUARDS]
    assert host.sh(f"stat -c %a:%U {place}") == "600:root\n"
    assert host.run(["test", "-e", DROP_IN]).returncode != 0
    assert host.sh("systemctl show -p RequiresMountsFor --value docker") == "\n"
    assert host.sh("cat /etc/fstab") == guarded

    # What the heads name as the way back of each.
    ran("guard-mounts", wanted(key=AGAIN))
    assert host.sh(f"cat {DROP_IN}") == GUARDS[1]["text"]
    assert "RequiresMountsFor=/mnt/data" in host.sh("systemctl show -p RequiresMountsFor docker")
    undone = ran("undo-run", {"undo_run_key": AGAIN})
    assert (undone.changed, f"removed {DROP_IN}" in undone.said) == (1, True), undone.text
    assert host.run(["test", "-e", DROP_IN]).returncode != 0
    assert host.sh("cat /etc/fstab") == guarded
    undone = ran("undo-run", {"undo_run_key": FIRST})
    assert "Done: put /etc/fstab back" in undone.said
    assert host.sh("cat /etc/fstab") == before
    assert host.sh("findmnt -no UUID /mnt/data").strip() == UUID
    nothing = ran("undo-run", {"undo_run_key": FIRST})
    assert (nothing.changed, "There was nothing left to undo." in nothing.said) == (0, True), nothing.text
