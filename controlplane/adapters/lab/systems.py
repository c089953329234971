"""The systems that lab machines can run, and where each comes from."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

System = Literal["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"]
SYSTEM_NAMES: tuple[str, ...] = get_args(System)


class Keyring(NamedTuple):
    """A package of the distribution's own archive with the keys that its releases are signed by, known by its checksum."""

    path: str
    sha256: str
    member: str


class Release(NamedTuple):
    """One release: where debootstrap finds it ('' for the mirror that the host's apt names), and what brings Docker."""

    suite: str
    components: tuple[str, ...]
    pockets: tuple[str, ...]
    docker: tuple[str, ...]
    mirror: str = ""
    keyring: Keyring | None = None


_UBUNTU = "http://archive.ubuntu.com/ubuntu"
_UBUNTU_KEYS = Keyring(
    "pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb",
    "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8",
    "usr/share/keyrings/ubuntu-archive-keyring.gpg",
)
SYSTEMS: dict[System, Release] = {
    "debian-12": Release("bookworm", ("main",), ("bookworm",), ("docker.io", "docker-cli", "docker-compose")),
    "debian-13": Release("trixie", ("main",), ("trixie",), ("docker.io", "docker-cli", "docker-compose")),
    "ubuntu-22.04": Release("jammy", ("main", "universe"), ("jammy", "jammy-updates"), ("docker.io", "docker-compose-v2"), _UBUNTU, _UBUNTU_KEYS),
    "ubuntu-24.04": Release("noble", ("main", "universe"), ("noble", "noble-updates"), ("docker.io", "docker-compose-v2"), _UBUNTU, _UBUNTU_KEYS),
}
