"""The site's known_hosts file: keys are added under the names that ssh looks up, and never replaced."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from controlplane.adapters.ansible_project import configuration
from controlplane.adapters.known_hosts import SiteKnownHosts, ssh_options
from controlplane.domain.inventory import InventoryHost

BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + b"k" * 32).decode()
OTHER = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + b"o" * 32).decode()
HOST = InventoryHost(name="mint-data", variables={"ansible_host": "192.0.2.10"})


def fingerprint(blob: str) -> str:
    told = subprocess.run(["ssh-keygen", "-lf", "-"], input=f"ssh-ed25519 {blob}\n", capture_output=True, text=True, check=True)
    return told.stdout.split()[1]


def test_a_key_is_added_once_under_address_and_name(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("nas ssh-rsa AAAA")

    assert SiteKnownHosts(file).pin(HOST, [f"ssh-ed25519 {BLOB} comment"]) is None
    assert SiteKnownHosts(file).pin(HOST, [f"ssh-ed25519 {BLOB}"]) is None

    assert file.read_text() == f"nas ssh-rsa AAAA\n192.0.2.10,mint-data ssh-ed25519 {BLOB}\n"


def test_another_port_is_part_of_the_name(tmp_path: Path) -> None:
    host = InventoryHost(name="mint-data", variables={"ansible_port": 2222})
    assert SiteKnownHosts(tmp_path / "known_hosts").pin(host, [f"ssh-ed25519 {BLOB}"]) is None
    assert (tmp_path / "known_hosts").read_text() == f"[mint-data]:2222 ssh-ed25519 {BLOB}\n"


def test_a_hashed_line_counts_too(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    SiteKnownHosts(file).pin(HOST, [f"ssh-ed25519 {BLOB}"])
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    before = file.read_text()
    assert SiteKnownHosts(file).pin(HOST, [f"ssh-ed25519 {BLOB}"]) is None
    assert file.read_text() == before
    assert "192.0.2.10" not in before


def test_a_key_that_differs_is_told_with_both_fingerprints_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"192.0.2.10 ssh-ed25519 {OTHER}\n")

    assert SiteKnownHosts(file).pin(HOST, [f"ssh-ed25519 {BLOB}"]) == (
        f"{file} has another ssh-ed25519 host key for 192.0.2.10: {fingerprint(OTHER)}, and the machine was born with {fingerprint(BLOB)}. "
        f"Nothing was changed there. If the old machine is gone, remove its line with 'ssh-keygen -R 192.0.2.10 -f {file}', "
        "then apply the same plan again"
    )
    assert file.read_text() == f"192.0.2.10 ssh-ed25519 {OTHER}\n"


def test_what_is_no_key_is_never_written(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    assert SiteKnownHosts(file).pin(HOST, ["ssh-ed25519 no*key"]) == "the ssh-ed25519 host key that mint-data was born with can't be read"
    assert not file.exists()


def test_ssh_takes_the_file_beside_those_of_the_system_and_of_the_operator(tmp_path: Path) -> None:
    folder = tmp_path / "a site"
    folder.mkdir()
    assert ssh_options(folder / "known_hosts") == ()
    (folder / "known_hosts").write_text(f"192.0.2.10 ssh-ed25519 {BLOB}\n")

    told = subprocess.run(["ssh", "-G", *ssh_options(folder / "known_hosts"), "192.0.2.10"], capture_output=True, text=True, check=True)

    lines = [line for line in told.stdout.splitlines() if "knownhostsfile" in line]
    assert f"globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2 {folder}/known_hosts" in lines
    assert [line.endswith("/.ssh/known_hosts2") for line in lines if line.startswith("userknownhostsfile")] == [True]


def test_ansible_hands_the_file_to_ssh_as_one_word(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    text = configuration(only_looks=False, control_dir=tmp_path, local_tmp=tmp_path, ssh_options=ssh_options(tmp_path / "known_hosts")).decode()
    assert f"""-o 'GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2 "{tmp_path}/known_hosts"'""" in text


def test_strangers_are_those_of_whom_no_line_can_be(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    other = InventoryHost(name="other", variables={"ansible_port": 2222})
    assert SiteKnownHosts(file).strangers([HOST, other]) == [HOST, other]
    file.write_text(f"# mint-data\n\n@revoked\nmint-data,10.0.0.1 ssh-ed25519 {BLOB}\nother ssh-ed25519 {BLOB}\n")
    assert SiteKnownHosts(file).strangers([HOST, other]) == [other]
    file.write_text(f"[other]:2222 ssh-ed25519 {BLOB}\n@cert-authority 192.0.2.10 ssh-ed25519 {BLOB}\n")
    assert SiteKnownHosts(file).strangers([HOST, other]) == []
    for anybody in ("|1|c2FsdA==|aGFzaA==", "*.example.net"):
        file.write_text(f"{anybody} ssh-ed25519 {BLOB}\n")
        assert SiteKnownHosts(file).strangers([HOST, other]) == []
