"""Questions about a declared machine's baseline: packages, units, addresses and hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.domain.checks.baseline import asked_servers, is_installed
from controlplane.domain.machines import DOCKER, Baseline
from controlplane.domain.witness.ask import Ask, Asked, Told, unit_asks


def packages(told: Told) -> Asked:
    """Ask dpkg for each of the profile's packages."""
    baseline = _of(told)
    return _installed(told, baseline.packages) if baseline else []


def unit(told: Told) -> Asked:
    """Ask for one unit's state."""
    return unit_asks(told.named, told.reader.units.get(told.named))


def time(told: Told) -> Asked:
    """Ask for the unit that keeps the clock."""
    baseline = _of(told)
    name = baseline.time_unit() if baseline else None
    return unit_asks(name, told.reader.units.get(name)) if name else []


def network(told: Told) -> Asked:
    """Ask for the declared address and gateway; where something of it is missing, for the addresses that were seen."""
    machine, seen = told.desired.machine, told.reader.network
    if machine is None:
        return []
    addresses = seen["addresses"] if not told.is_met else [machine.address] if machine.address != "dhcp" else []
    asked = [Ask(("hostname", "--all-ip-addresses"), " ".join(one.partition("/")[0] for one in addresses), "words")] if addresses else []
    gateway = machine.gateway
    if gateway is None or not told.is_met:
        return asked
    return [*asked, Ask(("ip", "-6" if ":" in gateway else "-4", "route", "show", "default"), gateway, "words")]


def nameservers(told: Told) -> Asked:
    """Ask the files that name them for the declared nameservers; where one of these is missing, for those that were seen."""
    machine, seen = told.desired.machine, told.reader.network
    if machine is None:
        return []
    servers, files = asked_servers(seen), seen["resolver"]["files"]
    named = [servers[one] for one in machine.nameservers] if told.is_met else list(servers.values())
    return [Ask(("cat", "--", *files), " ".join(named), "words")] if named else []


def docker(told: Told) -> Asked:
    """Ask for Docker's packages and its unit."""
    baseline = _of(told)
    wanted = baseline.docker if baseline else None
    return [*_installed(told, wanted.packages), *unit_asks(DOCKER, told.reader.units.get(DOCKER))] if wanted else []


def hook(name: str) -> Callable[[Told], Asked]:
    """Return the questions about one hook's packages and unit."""

    def ask(told: Told) -> Asked:
        baseline = _of(told)
        wanted = {"backup": baseline.backup, "monitoring": baseline.monitoring}[name] if baseline else None
        return [*_installed(told, wanted.packages), *unit_asks(wanted.unit, told.reader.units.get(wanted.unit))] if wanted else []

    return ask


def _of(told: Told) -> Baseline | None:
    return told.desired.machine.profile.baseline if told.desired.machine else None


def _installed(told: Told, names: Sequence[str]) -> list[Ask]:
    asked = []
    for name in dict.fromkeys(names):
        seen = told.reader.packages.get(name)
        argv = ("dpkg-query", "--show", "--showformat=${db:Status-Status}\\n", "--", name)
        if seen is not None and is_installed(seen):
            # A line for each architecture of which dpkg knows one.
            asked.append(Ask(argv, "installed", "lines"))
        elif seen is not None and not seen["status"]:
            # What dpkg does not know it says nothing of, with code 1.
            asked.append(Ask(argv, "", ends=(1,)))
    return asked
