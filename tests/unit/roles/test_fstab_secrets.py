"""fstab can hold the password of a share: it is in no text that leaves the target, and whole in the records that are the way back."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, verbs
from controlplane_target import fstab_break_glass as break_glass
from controlplane_target import fstab_mountpoint as mountpoint
from controlplane_target import fstab_texts as texts
from controlplane_target.command import Said

from controlplane.adapters.collector.redact import fstab_without_secrets
from controlplane.domain.capabilities.fstab_text import guard_text
from tests.unit.roles.leased import claimed
from tests.unit.roles.loading import file

undo = file("fstab", "undo")

CANARY = "Kanarienvogel"
# No disk of this machine has it, nor one of a lab machine that runs beside.
UUID = "00000000-dead-4d8c-9a8f-0f4b4b3c2d11"
# An export, because findmnt looks for no disk then.
ENTRY = {"spec": "nas:/tank", "file": "/mnt/data", "vfstype": "nfs", "options": ["ro", "nofail"], "freq": 0, "passno": 0}
LINE = "nas:/tank /mnt/data nfs ro,nofail 0 0\n"
SHARE = f"//nas/media /media cifs nofail,username=me,password={CANARY},uid=1000 0 0\n"


SHOWN = {
    SHARE: "//nas/media /media cifs nofail,username=***\n",
    f"//nas/x /x cifs PASS={CANARY} 0 0\n": "//nas/x /x cifs PASS=***\n",
    f"//nas/x /x cifs password2=a,,{CANARY} 0 0\n": "//nas/x /x cifs password2=***\n",
    f"//nas/x /x cifs user=corp/me%{CANARY},ro 0 0\n": "//nas/x /x cifs user=***\n",
    f'//nas/x /x cifs password="a {CANARY}",ro 0 0\n': "//nas/x /x cifs password=***\n",
    f"//nas/x /x cifs ro,password= {CANARY} 0 0\n": "//nas/x /x cifs ro,password= ***\n",
    f"//me:{CANARY}@nas/x /x cifs ro 0 0\n": "//***@nas/x /x cifs ro 0 0\n",
    f"https://me:a/{CANARY}@cloud/dav /x davfs ro 0 0\n": "https://***@cloud/dav /x davfs ro 0 0\n",
    f"curlftpfs#me:a/{CANARY}@ftp /x fuse ro 0 0\n": "curlftpfs#***@ftp /x fuse ro 0 0\n",
    f"mon1:6789:/ /x ceph name=admin,secret={CANARY},noatime 0 0\n": "mon1:6789:/ /x ceph name=admin,secret=***\n",
    f"/a /b ecryptfs key=passphrase:passphrase_passwd={CANARY} 0 0\n": "/a /b ecryptfs key=***\n",
    f"me@h:/ /x fuse.sshfs ssh_command=sshpass\\040-p\\040{CANARY}\\040ssh 0 0\n": "me@h:/ /x fuse.sshfs ssh_command=***\n",
    f"#//nas/x /x cifs password={CANARY} 0 0\n": "#//nas/x /x cifs password=***\n",
    f"# the password of the NAS: {CANARY} 1\n": "# the password of the NAS: ***\n",
    f"# password: a {CANARY}\n": "# password: ***\n",
    f"+# Key : {CANARY}\n": "+# Key : ***\n",
}
STAYS = (
    "# <file system> <mount point>   <type>  <options>       <dump>  <pass>\n# with UUID= as a more robust way to name devices\n",
    "//nas/x /x cifs credentials=/etc/nas.credentials,uid=1000,nofail 0 0\n",
    "auth-keys:/users/pass /mnt/pass nfs ro,nofail,user,noauto,x-systemd.mount-timeout=30s 0 0\n",
    "UUID=1 / btrfs subvol=@users,compress=zstd:3,usrjquota=aquota.user 0 1\n",
    LINE,
    guard_text("docker.service", [("/mnt/data", UUID)]),
    guard_text("docker.socket", [("/mnt/pass word", UUID)]),
)


@pytest.mark.parametrize("without_secrets", [texts.without_secrets, undo.without_secrets, fstab_without_secrets], ids=["role", "undo", "collector"])
def test_what_can_be_a_secret_is_hidden_to_the_end_of_its_line_and_all_else_stays(without_secrets: Callable[[str], str]) -> None:
    assert {text: without_secrets(text) for text in SHOWN} == SHOWN
    assert without_secrets("".join(SHOWN)) == "".join(SHOWN.values())
    assert [without_secrets(text) for text in STAYS] == list(STAYS)


def test_a_difference_shows_which_line_changed_though_not_its_secret() -> None:
    before, after = (f"a\n//nas/x /x cifs password={word}\rb".encode() for word in (CANARY, CANARY[::-1]))
    assert texts.difference(before, after, "recorded", "now") == (
        "--- recorded\n+++ now\n@@ -1,2 +1,2 @@\n a\n-//nas/x /x cifs password=***\n+//nas/x /x cifs password=***\n"
    )


class Host:
    """A host's fstab with the line of a share, and what each verb of the role answers about it."""

    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.fstab, self.base, self.folder = tmp_path / "fstab", tmp_path / "controlplane", tmp_path / "controlplane/R1"
        self.capsys, self.monkeypatch = capsys, monkeypatch
        self.fstab.write_text(SHARE)

    def ask(self, action: str, *, code: int = 0, check: bool = False, **more: Any) -> Any:
        """Run a verb, hold all that it says against the canary, and return its answer."""
        asked = {"entries": [ENTRY], "path": str(self.fstab), "guards": [], **more}
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
        ended = verbs.main(["--base", str(self.base), "fstab", action, "--run", "R1", *(["--check"] if check else self._claim(action))])
        said = self.capsys.readouterr()
        assert CANARY not in said.out + said.err
        assert ended == code, said.err
        return json.loads(said.out)

    def _claim(self, action: str) -> list[str]:
        return [] if action == "look" else claimed(self.monkeypatch)

    def look(self, **more: Any) -> Any:
        return self.ask("look", bare=[], field="policy.yml", **more)

    def record(self, **more: Any) -> Any:
        return self.ask("record", make=[], writable=[], undo="#!/bin/sh\n", readme="", **more)

    def write(self, **more: Any) -> Any:
        return self.ask("write", make=[], writable=[], start=[], reload=False, **more)


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Host:
    if os.geteuid() != 0:
        pytest.skip("the new text is verified as a copy in /run, which is root's")
    # systemd is asked about units and reads the file again, neither of which is tried here.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\n")
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setitem(command.ENVIRONMENT, "PATH", f"{tmp_path / 'bin'}:{command.ENVIRONMENT['PATH']}")
    return Host(tmp_path, capsys, monkeypatch)


def test_a_dry_run_shows_what_it_would_write_without_a_secret_and_writes_nothing(host: Host) -> None:
    told = host.write(check=True)
    [shown] = told["diff"]
    assert (told["changed"], shown["before"], shown["after"]) == (True, SHOWN[SHARE], SHOWN[SHARE] + LINE)
    assert host.record(check=True) == {"changed": False, "written": []}
    assert host.fstab.read_text() == SHARE
    assert not host.base.exists()


def test_the_file_and_its_records_are_whole_and_the_records_are_roots_alone(host: Host) -> None:
    assert host.record()["written"] == ["folders.json", "bare.json", "undo", "README"]
    assert host.write()["changed"] is True
    assert host.fstab.read_text() == SHARE + LINE
    held = [host.folder / name for name in ("fstab.before", "fstab.after")]
    assert [path.read_text() for path in held] == [SHARE, SHARE + LINE]
    assert [path.stat().st_mode & 0o777 for path in held] == [0o600, 0o600]


def test_a_second_attempt_that_finds_somebodys_change_tells_it_without_the_secret(host: Host) -> None:
    host.record()
    changed = f"{SHARE}//nas/new /new cifs ro,pass={CANARY} 0 0\n"
    host.fstab.write_text(changed)
    refused = host.record(code=4)["message"]
    assert "was changed by somebody since this run recorded it:\n" in refused
    assert f" {SHOWN[SHARE]}-{LINE}+//nas/new /new cifs ro,pass=***\n" in refused
    assert refused.endswith("Nothing was changed.")
    assert "was changed by somebody since this run recorded it" in host.write(code=1)["message"]
    assert host.fstab.read_text() == changed


def test_what_findmnt_quotes_of_broken_lines_is_told_without_the_secret(host: Host) -> None:
    """It takes the second word for the mountpoint, whatever that is, and names a source that it can't find."""
    host.fstab.write_text(f"UUID=1 password={CANARY} x y\nLABEL=//me:{CANARY}@nas /etc cifs nofail 0 0\n")
    seen = host.look()
    assert seen["faults"] == [
        "/etc: unreachable on boot required source: LABEL=//***@nas",
        "password=***: unreachable on boot required source: UUID=1",
        "password=***: unreachable on boot required target: No such file or directory",
    ]
    missing = {**ENTRY, "spec": f"UUID={UUID}", "vfstype": "ext4"}
    [objection] = [text for text in host.look(entries=[missing])["objections"] if "findmnt" in text]
    assert f"/mnt/data: unreachable on boot required source: UUID={UUID}" in objection


def test_a_mount_that_names_itself_by_a_password_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mountpoint, "_mounted", lambda _path: {"source": f"curlftpfs#ftp://me:{CANARY}@ftp/", "fstype": "fuse"})
    monkeypatch.setattr(command, "run", lambda _argv: Said(0, "", ""))
    assert mountpoint.look(ENTRY)["what"] == "curlftpfs#***@ftp/ (fuse)"


def test_the_undo_tells_what_somebody_changed_without_the_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "HERE", tmp_path)
    now = f"{SHARE[:-1]}\n{LINE}//nas/new /new cifs ro,pass={CANARY}"
    for name, text in (("fstab", now), ("fstab.before", SHARE), ("fstab.after", SHARE + LINE)):
        (tmp_path / name).write_text(text)
    (tmp_path / "fstab.json").write_text(json.dumps({"path": str(tmp_path / "fstab"), "existed": True}))
    with pytest.raises(SystemExit) as ended:
        undo.undo(check=False)
    assert ended.value.code == 4
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err
    assert f" {SHOWN[SHARE]} {LINE}+//nas/new /new cifs ro,pass=***\nTake those changes back" in said.err
    assert "Nothing was changed." in said.err
    assert (tmp_path / "fstab").read_text() == now


def test_a_guard_that_somebody_put_a_secret_into_is_shown_and_broken_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = f'[Service]\nEnvironment="PROXY_PASSWORD=a {CANARY}"\n'
    shown = texts.diff(tmp_path / "x", strange.encode(), b"[Unit]\n")
    assert shown["before"] == '[Service]\nEnvironment="PROXY_PASSWORD=***\n'
    guard = tmp_path / "docker.service.d/50-controlplane-mounts.conf"
    guard.parent.mkdir()
    guard.write_text(strange)
    monkeypatch.setattr(break_glass, "UNITS", tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"who": "me", "why": "the disk is dead"})))
    assert verbs.main(["--base", str(tmp_path), "fstab", "break-glass", "--run", "R1", "--check"]) == 0
    said = capsys.readouterr().out
    assert (str(guard) in said, CANARY in said) == (True, False)
    # The receipt holds the way back, so it is whole, and root's alone.
    place = tmp_path / "run/break-glass.json"
    break_glass.remove([guard], place, {"removed": [{"path": str(guard), "text": strange}]})
    assert json.loads(place.read_text())["removed"] == [{"path": str(guard), "text": strange}]
    assert place.stat().st_mode & 0o777 == 0o600
