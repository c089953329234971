"""D197: a sync of mail or calendar pulls, and leaves everything at the provider as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE = "registry/providers.yml"
SYNC = {"direction": "pull", "access": "read-only", "after_fetch": "keep"}


def providers() -> dict[str, dict[str, Any]]:
    found = yaml.safe_load((SITE / FILE).read_text("utf-8"))["mail_and_calendar"]
    assert found, f"{FILE}: mail_and_calendar is empty: restore it from git"
    return found


def test_each_sync_pulls_and_changes_nothing_there() -> None:
    faults = [
        f"{FILE}: mail_and_calendar.{name}.sync.{key} is {provider.get('sync', {}).get(key)}: write {want}, and configure {name} so"
        for name, provider in providers().items()
        for key, want in SYNC.items()
        if provider.get("sync", {}).get(key) != want
    ]
    assert not faults, "\n".join(faults)


def test_each_sync_asks_for_scopes_that_read_only() -> None:
    faults = []
    for name, provider in providers().items():
        place = f"{FILE}: mail_and_calendar.{name}.scopes"
        if not provider.get("scopes"):
            faults.append(f"{place} is empty: what is not asked for is granted as the provider likes; write the scopes that read")
        faults += [
            f"{place} has {scope}, which doesn't end with .read or .readonly: ask the provider for the reading one, and revoke this"
            for scope in provider.get("scopes") or []
            if not scope.endswith((".read", ".readonly"))
        ]
    assert not faults, "\n".join(faults)
