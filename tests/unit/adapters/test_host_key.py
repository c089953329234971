"""Of the keys that machines on the way offered, the one that was refused is told, with the machine that it is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.adapters import host_key
from controlplane.adapters.host_key import KeyTrouble
from controlplane.domain.inventory import InventoryHost

JUMP = """\
debug1: Authenticating to gate.example:2222 as 'root'
debug1: Server host key: ssh-ed25519 SHA256:ofTheGate
"""
MACHINE = """\
debug1: Authenticating to 10.0.0.1:22 as 'ops'
debug1: Server host key: ssh-rsa SHA256:ofTheMachine
"""
REFUSED = "Host key verification failed.\n"
# All that is left of a jump host's words where the connection is kept.
HIDDEN = (
    "Failed to connect to the host via ssh: kex_exchange_identification: Connection closed by remote host Connection closed by UNKNOWN port 65535"
)
ROUTES = [
    InventoryHost(name=name, variables={"ansible_host": address, "ansible_ssh_common_args": "-o ProxyJump=gate"})
    for name, address in (("db1", "10.0.0.1"), ("db2", "10.0.0.2"))
]


class FakeSsh:
    """An ssh in a folder of its own: says what it was told to, and counts how often it was started to connect."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        ssh = folder / "ssh"
        asked = f'printf "user ops\\nhostname 10.0.0.1\\nport 22\\n"; cat {folder}/way'
        ssh.write_text(f'#!/bin/sh\ncase "$1" in -G) {asked};; *) echo >> {folder}/count; cat {folder}/said >&2; exit 255;; esac\n')
        ssh.chmod(0o755)
        self.goes("proxyjump gate")
        monkeypatch.setattr(host_key, "environment", lambda extra: {"PATH": f"{folder}:/usr/bin:/bin", **extra})

    def says(self, text: str) -> None:
        (self._folder / "said").write_text(text)

    def goes(self, way: str) -> None:
        """Have its configuration lead to every host by this way."""
        (self._folder / "way").write_text(f"{way}\n" if way else "")

    @property
    def connections(self) -> int:
        return len((self._folder / "count").read_text().splitlines()) if (self._folder / "count").exists() else 0


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSsh:
    return FakeSsh(tmp_path, monkeypatch)


def test_a_machines_own_key_is_told(ssh: FakeSsh) -> None:
    ssh.says(MACHINE + REFUSED)
    assert KeyTrouble().of(ROUTES[0], REFUSED) == (
        "its host key is not the pinned one, or none is pinned: it offers ssh-rsa SHA256:ofTheMachine. Compare that with "
        "'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on the machine's own console, and add the key to known_hosts only if they are equal"
    )


def test_behind_a_jump_host_it_is_still_the_machines_key(ssh: FakeSsh) -> None:
    ssh.says(JUMP + MACHINE + REFUSED)
    told = str(KeyTrouble().of(ROUTES[0], REFUSED))
    assert told.startswith("its host key is not the pinned one, or none is pinned: it offers ssh-rsa SHA256:ofTheMachine.")
    assert "ofTheGate" not in told


def test_a_jump_hosts_key_is_told_with_its_address_for_every_machine_behind_it_and_asked_once(ssh: FakeSsh) -> None:
    ssh.says(JUMP + REFUSED)
    keys = KeyTrouble()
    for route in ROUTES:
        assert keys.of(route, HIDDEN) == (
            "the host key of gate.example:2222, a jump host on the way to it, is not the pinned one, or none is pinned: it offers "
            "ssh-ed25519 SHA256:ofTheGate. Compare that with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' "
            "on that machine's own console, and add the key to known_hosts only if they are equal"
        )
    assert ssh.connections == 1


def test_a_jump_host_that_is_down_is_no_trouble_with_keys(ssh: FakeSsh) -> None:
    ssh.says("ssh: connect to host gate.example port 2222: Connection refused\n")
    keys = KeyTrouble()
    assert [keys.of(route, HIDDEN) for route in ROUTES] == [None, None]
    assert ssh.connections == 1


def test_what_tells_of_something_else_starts_no_ssh(ssh: FakeSsh) -> None:
    assert KeyTrouble().of(ROUTES[0], "Permission denied (publickey)") is None
    assert ssh.connections == 0


def test_where_nothing_was_offered_that_is_said(ssh: FakeSsh) -> None:
    ssh.says(REFUSED)
    assert "what it offers could not be read" in str(KeyTrouble().of(ROUTES[0], REFUSED))


@pytest.mark.parametrize(
    "cause",
    [
        "channel 0: open failed: connect failed: No route to host",
        "(UNKNOWN) [10.0.0.1] 22 (ssh) : Connection refused",
        "ssh: Could not resolve hostname gate: Name or service not known",
        "channel 0: open failed: administratively prohibited: open failed\nstdio forwarding failed",
    ],
)
def test_who_was_told_why_there_is_no_way_asks_no_second_time(ssh: FakeSsh, cause: str) -> None:
    assert KeyTrouble().of(ROUTES[0], f"{cause}\n{HIDDEN}") is None
    assert ssh.connections == 0


@pytest.mark.parametrize(
    ("way", "lasting", "asked"),
    [
        # Nobody is on the way who could have said more.
        ("", True, 0),
        ("", False, 0),
        # What a program says is thrown away only with a connection that is kept.
        ("proxycommand nc 10.0.0.1 22", True, 1),
        ("proxycommand nc 10.0.0.1 22", False, 0),
        # The ssh to a jump host may be quiet until it is asked for its steps.
        ("proxyjump gate", True, 1),
        ("proxyjump gate", False, 1),
    ],
)
def test_ssh_is_asked_again_only_where_more_may_be_known_on_the_way(ssh: FakeSsh, way: str, asked: int, *, lasting: bool) -> None:
    ssh.goes(way)
    ssh.says(JUMP + REFUSED)
    told = KeyTrouble().of(ROUTES[0], HIDDEN, lasting=lasting)
    assert ssh.connections == asked
    assert (told is not None and "ofTheGate" in told) is bool(asked)


def test_what_a_relay_said_of_a_key_is_heard_where_its_words_were_passed_on(ssh: FakeSsh) -> None:
    ssh.goes("proxycommand ssh -W 10.0.0.1:22 gate")
    ssh.says(REFUSED)
    assert "is not the pinned one" in str(KeyTrouble().of(ROUTES[0], f"{REFUSED}{HIDDEN}", lasting=False))
    assert ssh.connections == 1


def test_where_ssh_does_not_say_which_way_it_takes_it_is_asked(ssh: FakeSsh, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh.says(JUMP + REFUSED)
    monkeypatch.setattr(host_key, "_settings", lambda _host: {})
    assert "ofTheGate" in str(KeyTrouble().of(ROUTES[0], HIDDEN, lasting=False))
