"""D198: which service fetches mail and calendar stands in the deploy stack map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE, STACKS, SERVICES = "registry/providers.yml", "registry/stacks.yml", "registry/services.yml"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((SITE / name).read_text("utf-8"))


def providers() -> dict[str, dict[str, Any]]:
    found = read(FILE)["mail_and_calendar"]
    assert found, f"{FILE}: mail_and_calendar is empty: restore it from git"
    return found


def test_each_home_is_a_service_of_the_stack_map() -> None:
    stacks, faults = read(STACKS)["stacks"], []
    for name, provider in providers().items():
        home = provider.get("home") or {}
        if home.get("service") not in stacks.get(home.get("stack"), {}).get("services", []):
            faults.append(
                f"{FILE}: mail_and_calendar.{name}.home is {home.get('service')} in {home.get('stack')}, which {STACKS} doesn't run: "
                "name the service that fetches it, and its stack"
            )
    assert not faults, "\n".join(faults)


def test_home_and_service_name_each_other() -> None:
    services, known = read(SERVICES)["services"], providers()
    homes = {(provider["home"]["service"], name) for name, provider in known.items()}
    users = {(service, name) for service, settings in services.items() for name in settings.get("external", []) if name in known}
    faults = [f"{SERVICES}: services.{service}.external lacks {name}, whose home it is: add it" for service, name in sorted(homes - users)]
    faults += [
        f"{SERVICES}: services.{service}.external has {name}, whose home is elsewhere: ask the home" for service, name in sorted(users - homes)
    ]
    assert not faults, "\n".join(faults)
