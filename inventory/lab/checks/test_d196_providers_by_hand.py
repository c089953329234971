"""D196: mail and calendar are fetched when a person asks for it, never by the clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE, STACKS = "registry/providers.yml", "registry/stacks.yml"


def providers() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((SITE / FILE).read_text("utf-8"))["mail_and_calendar"]


def test_mail_and_calendar_are_both_registered() -> None:
    kinds = {provider.get("kind", "") for provider in providers().values()}
    assert kinds == {"mail", "calendar"}, f"{FILE}: mail_and_calendar has the kinds {sorted(kinds)}: register one mail and one calendar at least"


def test_each_mail_and_calendar_provider_is_started_by_hand() -> None:
    faults = []
    for name, provider in providers().items():
        place = f"{FILE}: mail_and_calendar.{name}"
        if provider.get("started_by") != "operator":
            faults.append(f"{place}.started_by is {provider.get('started_by')}: write operator, and let nothing else start it")
        if str(provider.get("sync_command")).split(" ")[0] != provider["home"]["service"]:
            faults.append(f"{place}.sync_command is no command of {provider['home']['service']}, its home: write what the operator types")
        faults += [f"{place}.{key} starts it without a person: remove it" for key in ("schedule", "every", "webhook", "watch") if key in provider]
    assert not faults, "\n".join(faults)


def test_no_timer_of_a_stack_starts_a_sync() -> None:
    stacks, known = yaml.safe_load((SITE / STACKS).read_text("utf-8"))["stacks"], providers()
    faults = [
        f"{STACKS}: stacks.{project}.timers.{i}.command is missing: write what it runs"
        for project, stack in stacks.items()
        for i, timer in enumerate(stack.get("timers", []))
        if not timer.get("command")
    ]
    faults += [
        f"{STACKS}: stacks.{project}.timers: {timer.get('name')} runs the sync of {name}: remove the timer, an operator starts it"
        for project, stack in stacks.items()
        for timer in stack.get("timers", [])
        for name, provider in known.items()
        if " ".join(provider["sync_command"].split()) in " ".join(timer.get("command", "").split())
    ]
    assert not faults, "\n".join(faults)
