"""D174: each service is onboarded in full, and services.yml, stacks.yml and policy.yml know the same services and stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
SERVICES, STACKS = "registry/services.yml", "registry/stacks.yml"
TEXTS = {
    "owner": "which team is called",
    "host": "its host",
    "stack": "its compose project",
    "container": "its container's name",
    "data_class": "one of none, internal, customer, payment",
    "status": "one of live, staged, retired",
}
CHOICES = {"data_class": {"none", "internal", "customer", "payment"}, "status": {"live", "staged", "retired"}}


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((SITE / name).read_text("utf-8"))


def services() -> dict[str, dict[str, Any]]:
    found = read(SERVICES).get("services")
    assert found, f"{SERVICES}: services is empty: restore it from git"
    return found


def stacks() -> dict[str, dict[str, Any]]:
    found = read(STACKS).get("stacks")
    assert found, f"{STACKS}: stacks is empty: restore it from git"
    faults = [
        f"{STACKS}: stacks.{project}.{key} is missing: write it"
        for project, stack in found.items()
        for key in ("host", "dir", "services")
        if key not in stack
    ]
    assert not faults, "\n".join(faults)
    return found


def missing_fields(name: str, service: dict[str, Any]) -> list[str]:
    place = f"{SERVICES}: services.{name}"
    faults = [
        f"{place}.{field} is missing: write {what}" for field, what in TEXTS.items() if not isinstance(service.get(field), str) or not service[field]
    ]
    faults += [
        f"{place}.{field} is {service[field]}: write one of {', '.join(sorted(choices))}"
        for field, choices in CHOICES.items()
        if isinstance(service.get(field), str) and service[field] not in choices
    ]
    port = service.get("port")
    if type(port) is not int or not 0 < port < 65536:
        faults.append(f"{place}.port is no port: write the number that {name} listens on")
    health = service.get("health")
    kinds = health.keys() if isinstance(health, dict) else set()
    if kinds not in ({"path"}, {"command"}):
        faults.append(f"{place}.health says not how its health is asked: write one of path and command")
    elif kinds == {"path"} and not str(health["path"]).startswith("/"):
        faults.append(f"{place}.health.path is no path: begin it with /")
    elif not all(isinstance(value, str) and value for value in health.values()):
        faults.append(f"{place}.health is empty: write a path, or a command that fails when {name} is ill")
    faults += [
        f"{place}.{field} is no list: write [NAME, ...], or leave it out"
        for field in ("secrets", "external", "sends")
        if field in service and not isinstance(service[field], list)
    ]
    return faults


def test_each_service_states_every_onboarding_field() -> None:
    faults = [fault for name, service in services().items() for fault in missing_fields(name, service)]
    assert not faults, "\n".join(faults)


def test_services_and_stack_map_agree_on_who_runs_where() -> None:
    known = services()
    mapped = [(name, project, stack["host"]) for project, stack in stacks().items() for name in stack["services"]]
    faults = [f"{STACKS}: stacks.{project}.services names {name}: onboard it in {SERVICES}" for name, project, _ in mapped if name not in known]
    for name, service in known.items():
        places = [(project, host) for mapped_name, project, host in mapped if mapped_name == name]
        want = (service.get("stack"), service.get("host"))
        if service.get("status") == "retired":
            faults += [f"{STACKS}: stacks.{project} still runs {name}, which is retired: take it out of the stack" for project, _ in places]
        elif places != [want]:
            seen = ", ".join(f"{project} on {host}" for project, host in places) or "nowhere"
            faults.append(f"{SERVICES}: services.{name} is onboarded for {want[0]} on {want[1]}, {STACKS} has it {seen}: mend whichever is wrong")
    assert not faults, "\n".join(faults)


def test_policy_and_stack_map_declare_the_same_stacks() -> None:
    policy = read("policy.yml")["hosts"]
    declared = {(stack["project"], host, stack["dir"]) for host, settings in policy.items() for stack in settings.get("stacks", [])}
    mapped = {(project, stack["host"], stack["dir"]) for project, stack in stacks().items()}
    faults = [f"{STACKS}: {project} on {host} in {folder} is missing: policy.yml declares it" for project, host, folder in sorted(declared - mapped)]
    faults += [
        f"policy.yml: hosts.{host}.stacks lacks {project} in {folder}: {STACKS} maps it" for project, host, folder in sorted(mapped - declared)
    ]
    containers = {(service.get("host"), service.get("container")) for service in services().values()}
    faults += [
        f"policy.yml: hosts.{host}.services.{container} is no onboarded container of that host: onboard it in {SERVICES}"
        for host, settings in policy.items()
        for container in settings.get("services", {})
        if (host, container) not in containers
    ]
    assert not faults, "\n".join(faults)


def test_no_two_services_of_a_host_share_a_port_or_a_container() -> None:
    faults, seen = [], {}
    for name, service in services().items():
        for field in ("port", "container"):
            other = seen.setdefault((service.get("host"), field, service.get(field)), name)
            if other != name:
                faults.append(f"{SERVICES}: services.{name}.{field} is {service.get(field)}, which is {other}'s: give {name} one of its own")
    assert not faults, "\n".join(faults)
