"""D247: the host has its baseline: packages, units, a right clock, its address, and Docker from where the site wants it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.system import NetworkSeen, Package, Unit
from controlplane.domain.machines import DOCKER, DesiredMachine

# How far a clock may be off before signatures, leases and the order of receipts stop making sense.
CLOCK_S = 30
# What a unit's state may be where systemd starts it at boot: static and generated ones have nothing to switch on.
_ENABLED = ("enabled", "static", "generated")
# systemd-resolved on the host itself, whose own servers stand beside it in evidence.
_STUBS = ("127.0.0.53", "127.0.0.54")


def machine_of(desired: DesiredHost) -> DesiredMachine:
    """Return the declared machine, for a question that is asked of such hosts only."""
    if desired.machine is None:
        raise TypeError("the question is asked of declared machines only")
    return desired.machine


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `baseline.packages`, `baseline.unit:NAME`, `baseline.time`, `baseline.network`, `baseline.nameservers` and `baseline.docker` of hosts
    that machines.yml names.

    Description: the profile's packages are installed; each of its services is enabled and active, as is what keeps the clock, which is within 30 s
    of the controller's; a declared address is the host's own, and where a gateway is declared it is a default route; each declared nameserver is
    among those that the host asks, through systemd-resolved as well; Docker is installed from the named packages, enabled and active.
    Drift: something of that is missing (medium); Docker is (high).
    Unknown: packages, units, the clock or the network could not be observed; the host asks a resolver of its own that doesn't say whom it asks.
    Rationale: a host that was brought up halfway looks like any other until the one service that it lacks is needed.
    """
    if desired.machine is None:
        return
    baseline = desired.machine.profile.baseline
    if baseline.packages:
        yield Question("baseline.packages", _packages)
    for name in dict.fromkeys(baseline.services):
        yield Question(f"baseline.unit:{name}", partial(_unit, name=name))
    yield Question("baseline.time", _time)
    if desired.machine.address != "dhcp" or desired.machine.gateway is not None:
        yield Question("baseline.network", _network)
    if desired.machine.nameservers:
        yield Question("baseline.nameservers", _nameservers)
    if baseline.docker is not None:
        yield Question("baseline.docker", _docker)


def is_installed(package: Package) -> bool:
    """Say whether dpkg calls it wholly installed."""
    return package["status"] in ("ii", "hi")


def is_half_done(package: Package) -> bool:
    """Say whether an installation of it was begun and not finished."""
    return not is_installed(package) and package["status"][1:2] not in ("", "n", "c")


def missing_packages(case: Case, names: tuple[str, ...]) -> list[str]:
    """Return those that are not installed, each with what dpkg says of it. Raises `Unobserved`."""
    seen = case.reader.packages
    unseen = sorted(set(names) - seen.keys())
    if unseen:
        raise Unobserved(f"{', '.join(unseen)} was not looked at")
    return [
        f"{name} (half done: dpkg says {seen[name]['status']})" if is_half_done(seen[name]) else name
        for name in names
        if not is_installed(seen[name])
    ]


def unit_problem(name: str, unit: Unit | None) -> str:
    """Return why a unit is not enabled and active, empty if it is. Raises `Unobserved`."""
    if unit is None:
        raise Unobserved(f"{name} was not looked at")
    if unit["load_state"] == "not-found":
        return f"{name} is not there"
    if unit["load_state"] != "loaded":
        return f"{name} is {unit['load_state'] or 'in no known state'}"
    told = [*([] if unit["enabled"] in _ENABLED else [f"not enabled ({unit['enabled'] or 'unknown'})"])]
    told += [] if unit["active_state"] == "active" else [f"not active ({unit['active_state'] or 'unknown'})"]
    return f"{name} is {' and '.join(told)}" if told else ""


def clock_problem(reader: Reader) -> str:
    """Return by how much the host's clock is off, empty if it is within the limit. Raises `Unobserved`."""
    # The host told its clock before its slowest probe ended, and its answer was dated when it had arrived.
    behind = reader.evidence.taken().timestamp() - reader.identity["clock_epoch"]
    slowest = max(record.seconds for record in reader.evidence.probes.values())
    if -CLOCK_S <= behind <= CLOCK_S + slowest:
        return ""
    return f"the clock is {abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} the controller's, limit {CLOCK_S} s"


def _packages(case: Case) -> Answer:
    names = machine_of(case.desired).profile.baseline.packages
    missing = missing_packages(case, names)
    return drifted(f"not installed: {', '.join(missing)}") if missing else met(f"{len(set(names))} packages are installed")


def _unit(case: Case, name: str) -> Answer:
    problem = unit_problem(name, case.reader.units.get(name))
    return drifted(problem) if problem else met("enabled and active")


def _time(case: Case) -> Answer:
    unit = machine_of(case.desired).profile.baseline.time_unit()
    problem = unit_problem(unit, case.reader.units.get(unit)) if unit else ""
    told = [text for text in (problem, clock_problem(case.reader)) if text]
    return drifted("; ".join(told)) if told else met(f"the clock is right{f', {unit} keeps it' if unit else ''}")


def _network(case: Case) -> Answer:
    machine, seen = machine_of(case.desired), case.reader.network
    problems = []
    if machine.address != "dhcp" and machine.address not in seen["addresses"]:
        problems.append(f"the address {machine.address} is not the host's: it has {', '.join(seen['addresses']) or 'none'}")
    if machine.gateway is not None and machine.gateway not in seen["gateways"]:
        problems.append(f"the default gateway is {', '.join(seen['gateways']) or 'none'}, declared is {machine.gateway}")
    return drifted("; ".join(problems)) if problems else met()


def asked_servers(seen: NetworkSeen) -> dict[str, str]:
    """Return the nameservers that the host asks: as plain address, how its files write it. Raises `Unobserved`."""
    resolver = seen.get("resolver")
    if resolver is None:
        raise Unobserved("which nameservers the host asks was not looked at")
    if resolver["error"] is not None:
        raise Unobserved(f"which nameservers the host asks could not be read: {resolver['error']}")
    return {_plain(one): one for one in resolver["servers"]}


def _plain(server: str) -> str:
    try:
        return str(ipaddress.ip_address(server))
    except ValueError:
        return server


def _nameservers(case: Case) -> Answer:
    wanted, asked = machine_of(case.desired).nameservers, asked_servers(case.reader.network)
    missing = [one for one in wanted if one not in asked]
    if not missing:
        return met()
    # Any other of the host's own asks others in turn, and does not say whom.
    own = [one for one in asked if one not in (*wanted, *_STUBS) and (one.startswith("127.") or one == "::1")]
    if own:
        raise Unobserved(f"the host asks {', '.join(own)}, a resolver of its own, and whether that asks {', '.join(missing)} can't be seen")
    return drifted(f"the host asks {', '.join(asked) or 'no nameserver'}, declared is also {', '.join(missing)}")


def _docker(case: Case) -> Answer:
    docker = machine_of(case.desired).profile.baseline.docker
    missing = missing_packages(case, docker.packages if docker else ())
    problem = unit_problem(DOCKER, case.reader.units.get(DOCKER))
    if missing:
        other = "" if case.without_docker else ", though a Docker is there"
        return drifted(f"not installed: {', '.join(missing)}{other}", "high")
    return drifted(problem, "high") if problem else met("installed from the named packages, enabled and active")


CHECK = Check("D247", "baseline", "medium", _questions)
