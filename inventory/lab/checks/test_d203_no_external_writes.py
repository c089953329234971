"""D203: nothing of ours writes to a machine of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE, SERVICES, SECRETS = "registry/providers.yml", "registry/services.yml", "registry/secrets.yml"
READING = {"list", "fetch", "search"}


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((SITE / name).read_text("utf-8"))


def providers() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return each provider with where it stands."""
    sections = read(FILE)
    found = {name: (f"{FILE}: {section}.{name}", provider) for section, entries in sections.items() for name, provider in entries.items()}
    assert len(found) == sum(map(len, sections.values())) > 0, f"{FILE}: a provider stands in two sections, or in none: give each one place"
    return found


def test_no_provider_is_asked_for_more_than_reading() -> None:
    faults = []
    for place, provider in providers().values():
        if not provider.get("operations"):
            faults.append(f"{place}.operations is empty: write what is done there, of {', '.join(sorted(READING))}")
        faults += [
            f"{place}.operations has {operation}, which may write: take it out, a person does that at the provider"
            for operation in provider.get("operations") or []
            if operation not in READING
        ]
    assert not faults, "\n".join(faults)


def test_no_secret_for_a_provider_opens_it_for_writing() -> None:
    secrets = read(SECRETS)["secrets"]
    faults = [
        f"{SECRETS}: secrets.{provider.get('secret')}.access is not read, and {place} uses it: have the provider issue one that only reads"
        for place, provider in providers().values()
        if secrets.get(provider.get("secret"), {}).get("access") != "read"
    ]
    assert not faults, "\n".join(faults)


def test_no_service_talks_to_a_provider_that_nobody_registered() -> None:
    known = providers()
    faults = [
        f"{SERVICES}: services.{service}.external has {name}: register it in {FILE}, with what is done there"
        for service, settings in read(SERVICES)["services"].items()
        for name in settings.get("external", [])
        if name not in known
    ]
    assert not faults, "\n".join(faults)
