"""The role fstab: entries written atomically and verified, guards in force, and the way back byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.capabilities.fstab_text import guard_text
from tests.lab.conftest import LabMachine
from tests.lab.playing import RUN, Played, play

pytestmark = pytest.mark.lab

UUID = "6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11"
KEY = RUN.format("storage.fstab", 1)
FOLDER = f"/var/lib/controlplane/{KEY}"
GUARDS = [{"unit": unit, "text": guard_text(unit, [("/mnt/data", UUID)])} for unit in ("containerd.service", "docker.service", "docker.socket")]
DROP_IN = "/etc/systemd/system/docker.service.d/50-controlplane-mounts.conf"


def entry(**changes: Any) -> dict[str, Any]:
    """Return the entry of the data disk."""
    options = ["noatime", "nofail", "x-systemd.device-timeout=10s"]
    return {"spec": f"UUID={UUID}", "file": "/mnt/data", "vfstype": "ext4", "options": options, "freq": 0, "passno": 0, **changes}


def wanted(*entries: dict[str, Any], guards: list[dict[str, str]] | None = None, key: str = KEY) -> dict[str, Any]:
    """Return the role's variables."""
    return {"fstab_run": key, "fstab_entries": list(entries or (entry(),)), "fstab_guards": GUARDS if guards is None else guards}


def with_filesystem(machine: LabMachine) -> LabMachine:
    """Put the planned filesystem on the data disk, as the role data_disk does."""
    machine.sh(
        f"mkfs.ext4 -q -U {UUID} {machine.data_device} && mkdir -p /mnt/data && chattr +i /mnt/data && udevadm trigger --settle {machine.data_device}"
    )
    return machine


def seen(machine: LabMachine) -> str:
    """Return all that a refusal must leave alone."""
    return machine.sh(
        "sha256sum /etc/fstab; ls -la --time-style=full-iso /etc/fstab; ls -A /etc/systemd/system/*.d /mnt; findmnt -rno TARGET | sort;"
        " ls /var/lib/controlplane/*/undo 2>/dev/null || true"
    )


def assert_refused(played: Played, *words: str) -> None:
    assert played.code != 0, played.text
    for word in (*words, "Nothing was changed."):
        assert word in played.said, played.text
    assert played.changed == 0, played.text


@pytest.fixture
def ready(machine: Callable[..., LabMachine]) -> LabMachine:
    return with_filesystem(machine(data_bytes=2**30))


def test_an_entry_and_its_guards_are_written_loaded_and_undone_byte_for_byte(ready: LabMachine, tmp_path: Path) -> None:
    # A file as people leave it: tabs, a comment, a fault of its own, bytes that are no UTF-8, no newline at the end.
    ready.sh(
        r"printf '# caf\351\n/dev/nope\t/media/old\text4\tnoauto\t0 0\nproc /proc proc defaults 0 0' >> /etc/fstab;"
        " chmod 0640 /etc/fstab; cp -a /etc/fstab /root/fstab.before"
    )
    docker = ready.sh("systemctl show -p MainPID --value docker")

    before = seen(ready)
    preview = play(ready, "fstab", wanted(), tmp_path, check=True)
    assert preview.code == 0, preview.text
    assert f"+UUID={UUID} /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=10s 0 0" in preview.text
    assert seen(ready) == before

    first = play(ready, "fstab", wanted(), tmp_path)
    assert first.code == 0, first.text
    line = f"UUID={UUID} /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=10s 0 0\n"
    assert ready.sh("base64 -w0 /etc/fstab") == ready.sh(f"(cat /root/fstab.before; printf '\\n%s' {line.strip()!r}; echo) | base64 -w0")
    assert ready.sh("stat -c %a:%U /etc/fstab") == "640:root\n"
    assert ready.sh("findmnt -no UUID /mnt/data").strip() == UUID
    assert ready.sh("systemctl show -p SourcePath --value mnt-data.mount") == "/etc/fstab\n"
    assert ready.sh(f"cat {DROP_IN}") == GUARDS[1]["text"]
    assert "RequiresMountsFor=/mnt/data" in ready.sh("systemctl show -p RequiresMountsFor docker containerd")
    assert ready.sh("systemctl show -p MainPID --value docker") == docker

    second = play(ready, "fstab", wanted(), tmp_path)
    assert (second.code, second.changed) == (0, 0), second.text
    fresh = play(ready, "fstab", wanted(key=RUN.format("storage.fstab", 2)), tmp_path)
    assert (fresh.code, fresh.changed) == (0, 0), fresh.text

    # The way back works on the machine alone.
    told = ready.run([f"{FOLDER}/undo", "--check"])
    assert told.returncode == 0, told.stderr
    assert told.stderr.startswith("Would have: ")
    assert ready.run(["test", "-e", DROP_IN]).returncode == 0
    undone = ready.run([f"{FOLDER}/undo"])
    assert undone.returncode == 0, undone.stderr
    assert ready.sh("cmp /etc/fstab /root/fstab.before && stat -c %a /etc/fstab") == "640\n"
    assert ready.run(["test", "-e", DROP_IN]).returncode != 0
    assert ready.sh("systemctl show -p RequiresMountsFor --value docker") == "\n"
    again = ready.run([f"{FOLDER}/undo"])
    assert (again.returncode, json.loads(again.stdout)["changed"]) == (0, False)


def test_the_undo_shows_what_somebody_changed_since_and_keeps_it(ready: LabMachine, tmp_path: Path) -> None:
    assert play(ready, "fstab", wanted(), tmp_path).code == 0
    ready.sh("echo 'tmpfs /scratch tmpfs nofail 0 0' >> /etc/fstab")
    before = seen(ready)
    refused = play(ready, "fstab", {**wanted(), "fstab_rollback_of": KEY}, tmp_path, tasks_from="rollback")
    assert_refused(refused, "/etc/fstab was changed by somebody since this run wrote it", "+tmpfs /scratch tmpfs nofail 0 0")
    assert seen(ready) == before
    ready.sh("sed -i '/scratch/d' /etc/fstab")
    undone = play(ready, "fstab", {**wanted(), "fstab_rollback_of": KEY}, tmp_path, tasks_from="rollback")
    assert undone.code == 0, undone.text
    assert UUID not in ready.sh("cat /etc/fstab")


def test_a_shares_password_in_fstab_is_in_no_output_and_only_in_records_that_are_roots(ready: LabMachine, tmp_path: Path) -> None:
    canary = "Kanarienvogel-5d20c4e7"
    ready.sh(
        f"echo '//nas/media /media cifs noauto,nofail,username=me,password={canary},uid=1000 0 0' >> /etc/fstab; cp -a /etc/fstab /root/fstab.before"
    )

    def said(played: Played) -> str:
        assert canary not in played.text
        return played.said

    preview = play(ready, "fstab", wanted(), tmp_path, check=True, verbose=True)
    assert preview.code == 0, said(preview)
    assert "//nas/media /media cifs noauto,nofail,username=***" in said(preview)
    first = play(ready, "fstab", wanted(), tmp_path, verbose=True)
    assert first.code == 0, said(first)
    assert ready.sh(f"head -n -1 /etc/fstab | cmp - /root/fstab.before; cmp {FOLDER}/fstab.before /root/fstab.before") == ""

    # Somebody takes the run's line out, and adds a share of his own.
    ready.sh(f"cp -a /root/fstab.before /etc/fstab && echo '//nas/new /new cifs noauto,pass={canary} 0 0' >> /etc/fstab && systemctl daemon-reload")
    before = seen(ready)
    second = play(ready, "fstab", wanted(), tmp_path, verbose=True)
    said(second)
    assert_refused(second, "/etc/fstab was changed by somebody since this run recorded it", "+//nas/new /new cifs noauto,pass=***")
    undone = play(ready, "fstab", {**wanted(), "fstab_rollback_of": KEY}, tmp_path, tasks_from="rollback", verbose=True)
    said(undone)
    assert_refused(undone, "/etc/fstab was changed by somebody since this run wrote it", "+//nas/new /new cifs noauto,pass=***")
    assert seen(ready) == before

    places = "/var/lib/controlplane /run/controlplane-dry-run /root/.ansible /home/ops/.ansible /tmp /var/tmp /var/log"
    held = ready.sh(f"grep -rlF {canary} {places} 2>/dev/null || true").split()
    assert sorted(held) == [f"{FOLDER}/fstab.after", f"{FOLDER}/fstab.before"]
    assert set(ready.sh(f"stat -c %a:%U {' '.join(held)}").split()) == {"600:root"}
    assert ready.sh(f"journalctl --no-pager -o cat | grep -F -e {canary[:-4]} | grep -v 'journalctl' || true") == ""


def test_each_refusal_tells_why_and_changes_nothing(ready: LabMachine, tmp_path: Path) -> None:
    ready.sh(
        "mkdir -p /mnt/other /mnt/twice && mount -t tmpfs -o size=1M tmpfs /mnt/other"
        " && printf '%s\n' 'tmpfs /mnt/twice tmpfs nofail 0 0' 'tmpfs /mnt/twice/ tmpfs nofail 0 0' >> /etc/fstab"
    )
    before = seen(ready)
    missing = "11111111-2222-3333-4444-555555555555"
    bare = [{"unit": "docker.service", "text": guard_text("docker.service", [("/mnt/none", UUID)])}]
    nobody = [{"unit": "nobody.service", "text": GUARDS[0]["text"]}]
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        (wanted(entry(file="/mnt/a\nb")), ("holds a control character, which would make another entry",)),
        (wanted(entry(file="/mnt/a\tb")), ("holds a control character",)),
        (wanted(entry(options=["noatime\n/dev/sda1 / ext4", "nofail"])), ("holds a control character",)),
        (wanted(entry(options=["nofail,ro"])), ("holds a comma",)),
        (wanted(entry(spec="/dev/sdb")), ("is neither UUID=… nor server:/path",)),
        (wanted(entry(file="/mnt/../etc")), ("is not an absolute, normalised mountpoint",)),
        (wanted(entry(options=["noatime"])), ("/mnt/data", "without nofail and x-systemd.device-timeout")),
        (wanted(entry(file="/mnt/other")), ("/mnt/other is taken by tmpfs (tmpfs)", f"not by UUID={UUID}")),
        (wanted(entry(file="/mnt/twice")), ("/mnt/twice has 2 entries, in lines",)),
        (wanted(entry(spec=f"UUID={missing}")), ("findmnt --verify objects", f"unreachable on boot required source: UUID={missing}")),
        (wanted(entry(vfstype="xfs")), ("findmnt --verify objects", "xfs does not match with on-disk ext4")),
        (wanted(guards=bare), ("The guard of docker.service would keep it down for good: /mnt/none",)),
        (wanted(guards=nobody), ("knows no unit nobody.service",)),
    ]
    for variables, words in cases:
        assert_refused(play(ready, "fstab", variables, tmp_path), *words)
    assert seen(ready) == before


def test_blanks_and_backslashes_become_octal_and_nfs_exports_get_an_immutable_mountpoint(ready: LabMachine, tmp_path: Path) -> None:
    # A helper stands in for the NFS client: what matters here is the entry, the folder and the mounted source.
    ready.sh('printf \'#!/bin/sh\\nexec mount -i -t tmpfs -o size=1M "$1" "$2"\\n\' > /sbin/mount.nfs && chmod +x /sbin/mount.nfs')
    disk = entry(file="/mnt/a b\\c")
    export = entry(
        spec="nas:/tank/my data", file="/mnt/media", vfstype="nfs", options=["ro", "nofail", "_netdev", "x-systemd.mount-timeout=30s"], passno=0
    )
    first = play(ready, "fstab", wanted(disk, export, guards=[]), tmp_path)
    assert first.code == 0, first.text
    assert "UUID=" + UUID + " /mnt/a\\040b\\134c ext4 " in ready.sh("cat /etc/fstab")
    assert "nas:/tank/my\\040data /mnt/media nfs ro,nofail,_netdev,x-systemd.mount-timeout=30s 0 0" in ready.sh("cat /etc/fstab")
    assert ready.sh("findmnt -no UUID '/mnt/a b\\c'").strip() == UUID
    assert ready.sh("findmnt -no SOURCE /mnt/media").strip() == "nas:/tank/my data"
    second = play(ready, "fstab", wanted(disk, export, guards=[]), tmp_path)
    assert (second.code, second.changed) == (0, 0), second.text
    ready.sh("umount /mnt/media")
    assert "i" in ready.sh("lsattr -d /mnt/media").split()[0]
    # As where the run was killed between making the folder and making it immutable.
    ready.sh("chattr -i /mnt/media")
    third = play(ready, "fstab", wanted(disk, export, guards=[]), tmp_path)
    assert third.code == 0, third.text
    ready.sh("umount /mnt/media")
    assert "i" in ready.sh("lsattr -d /mnt/media").split()[0]
    assert ready.run([f"{FOLDER}/undo"]).returncode == 0
    assert ready.run(["test", "-e", "/mnt/media"]).returncode != 0


def beneath(machine: LabMachine, command: str) -> str:
    """Run a command in /mnt beneath what is mounted there, in a namespace of its own."""
    return machine.sh(f"mkdir -p /run/look && unshare -m sh -c 'mount --make-rprivate / && mount --bind /mnt /run/look && cd /run/look && {command}'")


def test_the_directory_beneath_a_live_mount_becomes_immutable_and_only_our_own_flag_is_taken_back(ready: LabMachine, tmp_path: Path) -> None:
    assert play(ready, "fstab", wanted(), tmp_path).code == 0
    beneath(ready, "chattr -i data")
    ready.sh("echo kept > /mnt/data/kept")
    mounted, key = ready.sh("findmnt -no ID,UUID /mnt/data"), RUN.format("storage.fstab", 2)
    bare = {**wanted(key=key), "fstab_bare": ["/mnt/data"]}

    beneath(ready, "touch data/stray")
    before = seen(ready)
    assert_refused(play(ready, "fstab", bare, tmp_path), "the directory under the mount /mnt/data holds stray: unmount it, move them away")
    assert seen(ready) == before
    beneath(ready, "rm data/stray")

    preview = play(ready, "fstab", bare, tmp_path, check=True)
    assert (preview.code, preview.changed) == (0, 1), preview.text
    assert "+immutable, with the mount left as it is" in preview.said
    assert "i" not in beneath(ready, "lsattr -d data").split()[0]
    assert seen(ready) == before

    first = play(ready, "fstab", bare, tmp_path)
    assert first.code == 0, first.text
    assert "i" in beneath(ready, "lsattr -d data").split()[0]
    # The mount itself was left alone, and its own root directory carries no flag.
    assert ready.sh("findmnt -no ID,UUID /mnt/data") == mounted
    assert ready.sh("touch /mnt/data/new && cat /mnt/data/kept") == "kept\n"
    second = play(ready, "fstab", bare, tmp_path)
    assert (second.code, second.changed) == (0, 0), second.text

    # Another run found the flag set, so its undo leaves it.
    later = RUN.format("storage.fstab", 3)
    assert play(ready, "fstab", {**bare, "fstab_run": later}, tmp_path).code == 0
    undo = {**bare, "fstab_run": later, "fstab_rollback_of": later}
    assert play(ready, "fstab", undo, tmp_path, tasks_from="rollback").code == 0
    assert "i" in beneath(ready, "lsattr -d data").split()[0]

    told = ready.run([f"/var/lib/controlplane/{key}/undo", "--check"])
    assert told.stderr.startswith("Would have: made the directory under the mount /mnt/data writable again"), told.stderr
    assert "i" in beneath(ready, "lsattr -d data").split()[0]
    undone = ready.run([f"/var/lib/controlplane/{key}/undo"])
    assert undone.returncode == 0, undone.stderr
    assert "i" not in beneath(ready, "lsattr -d data").split()[0]
    assert ready.sh("findmnt -no ID,UUID /mnt/data") == mounted


def test_the_glass_breaks_only_with_a_name_and_a_reason_and_leaves_a_receipt(ready: LabMachine, tmp_path: Path) -> None:
    assert play(ready, "fstab", wanted(), tmp_path).code == 0
    key = RUN.format("storage.fstab", 3)
    nameless = {"fstab_run": key, "fstab_break_glass_who": " ", "fstab_break_glass_why": "disk is dead"}
    assert_refused(play(ready, "fstab", nameless, tmp_path, tasks_from="break_glass"), "without a name and a reason")
    assert ready.run(["test", "-e", DROP_IN]).returncode == 0
    broken = play(ready, "fstab", {**nameless, "fstab_break_glass_who": "ops"}, tmp_path, tasks_from="break_glass")
    assert broken.code == 0, broken.text
    receipt = json.loads(ready.sh(f"cat /var/lib/controlplane/{key}/break-glass.json"))
    assert (receipt["who"], receipt["why"]) == ("ops", "disk is dead")
    assert receipt["boot_id"] == ready.sh("cat /proc/sys/kernel/random/boot_id").strip()
    assert [one["text"] for one in receipt["removed"]] == [guard["text"] for guard in GUARDS]
    assert ready.run(["test", "-e", DROP_IN]).returncode != 0
    assert ready.sh("systemctl show -p RequiresMountsFor --value docker") == "\n"
    # The next run of the role puts the guards back.
    mended = play(ready, "fstab", wanted(key=RUN.format("storage.fstab", 4)), tmp_path)
    assert mended.code == 0, mended.text
    assert ready.sh(f"cat {DROP_IN}") == GUARDS[1]["text"]
