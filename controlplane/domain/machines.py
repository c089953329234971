"""Machines as a site's machines.yml declares them: what a host is made of, where it runs, and its baseline.

The file is optional: a site whose machines come from elsewhere has none. Sizes are bytes once read. Rules over more than one field,
and against the policy, are in `machine_rules`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controlplane.domain.names import AsTuple, HostName, check_line, check_name
from controlplane.domain.services import SecretSource
from controlplane.domain.sizes import Size
from controlplane.domain.values import Value

_MIB = 1024**2
DOCKER = "docker.service"
AGENT = "qemu-guest-agent.service"
# Units that a profile may name without their package: everybody knows which one brings them.
_BROUGHT_BY = {"ssh.service": "openssh-server", "ssh.socket": "openssh-server", "cron.service": "cron", AGENT: "qemu-guest-agent"}


def _matching(pattern: str, what: str) -> AfterValidator:
    return AfterValidator(lambda text: check_name(text, pattern, what))


def _address(text: str) -> str:
    if text == "dhcp":
        return text
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{text!r} is no address: write dhcp, or an address with its prefix such as 192.0.2.10/24") from None
    ends = (found.network.network_address, found.network.broadcast_address) if found.network.num_addresses > 2 else ()
    if "/" not in text or found.ip in ends:
        raise ValueError(f"{text!r} names no single machine in a network: write an address with its prefix such as 192.0.2.10/24")
    return text


def _plain_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no address: write it without a prefix, such as 192.0.2.1") from None


def _public_key(text: str) -> str:
    check_line(text)
    if not re.fullmatch(r"(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]{16,}={0,3}( .*)?", text, re.ASCII):
        raise ValueError("is no public SSH key: write the one line of the .pub file, such as 'ssh-ed25519 AAAA… ops@example.org'")
    return text


def _api(text: str) -> str:
    if not re.fullmatch(r"https://[A-Za-z0-9.\[\]:-]{1,255}", text, re.ASCII):
        raise ValueError(f"{text!r} is no API address: write https:// and the host, with its port such as https://pve.example.org:8006")
    return text


def _whole_mib(size: int) -> int:
    if size % _MIB:
        raise ValueError("is no whole number of MiB: write it as 2GiB or 2048MiB")
    return size


Name = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "name")]
Volume = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._:/+@-]{0,200}", "image or volume name")]
Unit = Annotated[str, _matching(r"[A-Za-z0-9@._:\\-]{1,240}\.(service|timer|socket|path|target)", "systemd unit name")]
Package = Annotated[str, _matching(r"[a-z0-9][a-z0-9+.-]{0,127}", "Debian package name")]
PublicKey = Annotated[str, AfterValidator(_public_key)]
Memory = Annotated[Size, AfterValidator(_whole_mib)]


class Libvirt(Value):
    """A machine of the inventory that runs libvirtd."""

    kind: Literal["libvirt"] = Field("libvirt", description="libvirt, on a host of the inventory")
    host: HostName = Field(description="Inventory host that runs libvirtd")
    uri: Annotated[str, _matching(r"qemu:///(system|session)", "libvirt URI on the host itself")] = Field("qemu:///system", description="Its URI")
    accelerator: Literal["kvm", "qemu"] = Field("kvm", description="kvm, or qemu for software emulation; never guessed")


class ProxmoxToken(Value):
    """An API token: its name, and where the controller finds its secret."""

    id: Annotated[str, _matching(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+![A-Za-z0-9._-]+", "token such as plan@pve!controlplane")] = Field(
        description="user@realm!name"
    )
    secret: SecretSource = Field(description="Where its secret is: password_env, password_file or vault")


class Proxmox(Value):
    """A Proxmox VE node, through its API."""

    kind: Literal["proxmox"] = Field("proxmox", description="Proxmox VE, through its API")
    api: Annotated[str, AfterValidator(_api)] = Field(description="Address of the API")
    node: Name = Field(description="Node that the machines run on")
    token: ProxmoxToken = Field(description="API token")
    ca: Annotated[str, AfterValidator(check_line)] | None = Field(
        None, description="File of the CA that signed the API's certificate, below the site"
    )
    seeds: Name = Field("local", description="Storage for ISO images, where a machine's first configuration lies until it has been read")


Hypervisor = Annotated[Libvirt | Proxmox, Field(discriminator="kind")]


class BootDisk(Value):
    """The boot disk, from an image or a template."""

    image: Volume | None = Field(None, description="Image that it is made from: a volume of the storage, as the hypervisor names it")
    template: Name | None = Field(None, description="Template machine that is cloned")
    size: Size = Field(description="Its size; at least that of the image")
    storage: Name = Field("default", description="Storage or pool that it lies on")


class Network(Value):
    """One network card."""

    network: Name | None = Field(None, description="libvirt network that it is in")
    bridge: Name | None = Field(None, description="Bridge that it is on")
    vlan: Annotated[int, Field(ge=1, le=4094)] | None = Field(None, description="VLAN tag")


class DockerPackages(Value):
    """Where Docker comes from: the distribution's packages, or a repository that the site names."""

    packages: Annotated[tuple[Package, ...], AsTuple] = Field(("docker.io", "docker-compose"), description="Packages that bring it")
    repository: Annotated[str, AfterValidator(check_line)] | None = Field(
        None, description="Folder or address of a deb822 repository: 'URI SUITE COMPONENT…'"
    )
    signed_by: Annotated[str, AfterValidator(check_line)] | None = Field(None, description="File with the repository's key, below the site")


class Hook(Value):
    """Something that the site wants on each machine, such as its backup client: packages, and the unit that shows that it works."""

    packages: Annotated[tuple[Package, ...], AsTuple] = Field((), description="Packages that bring it")
    unit: Unit = Field(description="Unit that has to be enabled and active")


class Baseline(Value):
    """What bootstrap brings a fresh machine to, and ready demands of it."""

    packages: Annotated[tuple[Package, ...], AsTuple] = Field((), description="Packages that have to be installed")
    services: Annotated[tuple[Unit, ...], AsTuple] = Field(
        ("ssh.service", "cron.service"),
        description="Units that have to be enabled and active; sshd's, cron's and the guest agent's bring their package",
    )
    time: Literal["systemd-timesyncd", "chrony", "none"] = Field("systemd-timesyncd", description="What keeps the clock; none where the host does")
    docker: DockerPackages | None = Field(None, description="Docker, before the first container starts on the declared roots")
    backup: Hook | None = Field(None, description="The site's backup client")
    monitoring: Hook | None = Field(None, description="The site's monitoring agent")

    def time_unit(self) -> str | None:
        """Return the unit that keeps the clock, None where the host does."""
        return None if self.time == "none" else f"{self.time}.service"

    def all_packages(self) -> tuple[str, ...]:
        """Return every package that has to be installed, each once, in the order in which they are named."""
        named = [*self.packages, *(_BROUGHT_BY[unit] for unit in self.services if unit in _BROUGHT_BY)]
        named += [*([] if self.time == "none" else [self.time]), *(self.docker.packages if self.docker else ())]
        return tuple(dict.fromkeys([*named, *(package for hook in (self.backup, self.monitoring) if hook for package in hook.packages)]))

    def all_units(self) -> tuple[str, ...]:
        """Return every unit that has to be enabled and active, each once, in the order in which they are named."""
        named = [*self.services, *([unit] if (unit := self.time_unit()) else []), *([DOCKER] if self.docker else [])]
        return tuple(dict.fromkeys([*named, *(hook.unit for hook in (self.backup, self.monitoring) if hook)]))


class Profile(Value):
    """A kind of machine."""

    cores: Annotated[int, Field(ge=1, le=512)] = Field(1, description="Virtual cores")
    memory: Memory = Field(1024 * _MIB, description="Memory, whole MiB")
    boot: BootDisk | None = Field(None, description="Boot disk; needed where machines of this profile are provisioned")
    network: Network = Field(Network(), description="Network card")
    user: Annotated[str, _matching(r"[a-z_][a-z0-9_-]{0,31}", "login name")] = Field("ops", description="Login with sudo that cloud-init makes")
    ssh_keys: Annotated[tuple[PublicKey, ...], AsTuple] = Field((), description="Public keys that may log in")
    agent: bool = Field(True, description="QEMU guest agent: a channel to it, and it runs (where a hypervisor is named)")
    baseline: Baseline = Field(Baseline(), description="What bootstrap brings it to")


class MachineDisk(Value):
    """A data disk from birth; its serial number is the key."""

    size: Size = Field(description="Its size; within the policy's min_size and max_size")
    storage: Name = Field("default", description="Storage or pool that it lies on")


Serial = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}", "serial number of at most 20 characters")]


class Machine(Value):
    """One machine; without a hypervisor it is there already and only its baseline is governed."""

    profile: Name = Field(description="Name of a profile")
    hypervisor: Name | None = Field(None, description="Name of a hypervisor")
    id: Annotated[int, Field(ge=100, le=999999999)] | None = Field(None, description="Number on the hypervisor (Proxmox VE)")
    address: Annotated[str, AfterValidator(_address)] = Field("dhcp", description="dhcp, or an address with its prefix")
    gateway: Annotated[str, AfterValidator(_plain_address)] | None = Field(None, description="Default gateway")
    nameservers: Annotated[tuple[Annotated[str, AfterValidator(_plain_address)], ...], AsTuple] = Field((), description="DNS servers")
    disks: dict[Serial, MachineDisk] = Field({}, description="Data disks by serial number")


class Machines(Value):
    """A site's machines.yml, format version 1."""

    version: Literal[1] = Field(description="Format version")
    hypervisors: dict[Name, Hypervisor] = Field({}, description="Where machines run")
    profiles: dict[Name, Profile] = Field({}, description="Kinds of machines")
    machines: dict[HostName, Machine] = Field({}, description="Machines by inventory name")


class DesiredMachine(Value):
    """One machine with everything that it refers to; `hypervisor` is None where it is not provisioned from here."""

    name: HostName
    hypervisor_name: str | None
    hypervisor: Hypervisor | None
    profile: Profile
    id: int | None
    address: str
    gateway: str | None
    nameservers: Annotated[tuple[str, ...], AsTuple]
    disks: dict[str, MachineDisk]
    # The text of the file that docker.signed_by of the profile names.
    docker_key: str | None = None


def desired_machine(name: str, machines: Machines | None, keys: Mapping[str, str] | None = None) -> DesiredMachine | None:
    """Return what machines.yml says of one host, None if it says nothing; `keys` are the texts of the files that it names."""
    one = machines.machines.get(name) if machines else None
    if machines is None or one is None:
        return None
    docker = machines.profiles[one.profile].baseline.docker
    return DesiredMachine(
        name=name,
        hypervisor_name=one.hypervisor,
        hypervisor=machines.hypervisors[one.hypervisor] if one.hypervisor else None,
        profile=_with_agent(machines.profiles[one.profile]) if one.hypervisor else machines.profiles[one.profile],
        id=one.id,
        address=one.address,
        gateway=one.gateway,
        nameservers=one.nameservers,
        disks=dict(sorted(one.disks.items())),
        docker_key=(keys or {}).get(docker.signed_by) if docker and docker.signed_by else None,
    )


def _with_agent(profile: Profile) -> Profile:
    """Return the profile with the guest agent among its services, where a hypervisor is to find it."""
    if not profile.agent or AGENT in profile.baseline.services:
        return profile
    return profile.model_copy(update={"baseline": profile.baseline.model_copy(update={"services": (*profile.baseline.services, AGENT)})})
