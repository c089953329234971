"""D227: no legacy host is asked for the truth, or runs anything that is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE = "registry/authority.yml"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((SITE / name).read_text("utf-8"))


def hosts() -> dict[str, dict[str, Any]]:
    found = read(FILE).get("hosts")
    assert found, f"{FILE}: hosts is empty: restore it from git"
    faults = [f"{FILE}: hosts.{host}.state is missing: write live or legacy" for host, settings in found.items() if "state" not in settings]
    assert not faults, "\n".join(faults)
    return found


def names(state: str) -> set[str]:
    """Return the names and aliases of the hosts of one state."""
    return {name.lower() for host, settings in hosts().items() if settings["state"] == state for name in (host, *settings.get("aliases", []))}


def places() -> Iterator[tuple[str, str]]:
    """Yield each host that something of ours stands on, with where that is written."""
    for zone in read(FILE)["zones"]:
        yield zone["authority"]["host"], f"{FILE}: zone {zone['zone']}: authority.host"
        for folder in zone["folders"]:
            yield folder.partition(":")[0], f"{FILE}: zone {zone['zone']}: folder {folder}"
    for project, stack in read("registry/stacks.yml")["stacks"].items():
        yield stack["host"], f"registry/stacks.yml: stacks.{project}.host"
    for name, service in read("registry/services.yml")["services"].items():
        yield service["host"], f"registry/services.yml: services.{name}.host"


def test_each_host_is_live_or_legacy_and_no_name_is_both() -> None:
    faults = [
        f"{FILE}: hosts.{host}.state is {it['state']}: write live or legacy" for host, it in hosts().items() if it["state"] not in {"live", "legacy"}
    ]
    faults += [f"{FILE}: hosts has {name} as live and as legacy: give the name to one machine" for name in sorted(names("live") & names("legacy"))]
    assert not faults, "\n".join(faults)


def test_no_zone_stack_or_service_stands_on_a_legacy_host_or_on_one_that_nobody_knows() -> None:
    live, legacy = names("live"), names("legacy")
    found = list(places())
    assert found, f"{FILE}: nothing stands anywhere, so this judges nothing: restore zones from git"
    faults = [
        f"{place}: {host} is legacy: move what stands there to a live host, or name the live one" for host, place in found if host.lower() in legacy
    ]
    faults += [f"{place}: {host} is no host of {FILE}: add it with its state" for host, place in found if host.lower() not in live | legacy]
    assert not faults, "\n".join(faults)


def test_the_policy_places_data_on_live_hosts_only() -> None:
    live = names("live")
    faults = [
        f"policy.yml: hosts.{host} is not live in {FILE}: take it out of the policy"
        for host in read("policy.yml")["hosts"]
        if host.lower() not in live
    ]
    assert not faults, "\n".join(faults)


def test_each_authority_is_the_host_that_its_service_runs_on() -> None:
    services = read("registry/services.yml")["services"]
    faults = [
        f"{FILE}: zone {zone}: authority is {it['service']} on {it['host']}, where registry/services.yml doesn't have it: name who answers"
        for zone, it in ((zone["zone"], zone["authority"]) for zone in read(FILE)["zones"])
        if services.get(it["service"], {}).get("host") != it["host"]
    ]
    assert not faults, "\n".join(faults)
