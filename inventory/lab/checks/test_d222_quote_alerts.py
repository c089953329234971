"""D222: what is told about quotes comes from one sender, so that no customer is quoted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE, SERVICES = "registry/alerts.yml", "registry/services.yml"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((SITE / name).read_text("utf-8"))


def alerts_register() -> dict[str, Any]:
    """Return alerts.yml with all that these tests look at."""
    found = read(FILE)
    wanted = [(f"{FILE}: ", found, ("senders", "quote_sender", "alerts"))]
    wanted += [(f"{FILE}: senders.{name}.", sender, ("address", "service")) for name, sender in found.get("senders", {}).items()]
    wanted += [(f"{FILE}: alerts.{i}.", alert, ("event", "sender")) for i, alert in enumerate(found.get("alerts", []))]
    faults = [f"{place}{key} is missing: write it" for place, entry, keys in wanted for key in keys if not entry.get(key)]
    assert not faults, "\n".join(faults)
    return found


def of_quotes(event: str) -> bool:
    return event.lower().startswith("quote")


def sends(service: dict[str, Any]) -> list[str]:
    """Return the events that a service sends, also where only one is written, without brackets."""
    found = service.get("sends") or []
    return [found] if isinstance(found, str) else found


def test_each_quote_alert_is_there_once_and_from_the_quote_sender() -> None:
    register = alerts_register()
    sender, alerts = register["quote_sender"], [alert for alert in register["alerts"] if of_quotes(alert["event"])]
    assert alerts, f"{FILE}: alerts has none about quotes: restore them from git"
    events = [alert["event"] for alert in alerts]
    faults = [f"{FILE}: alerts has {event} twice: the customer is told twice; remove one" for event in sorted(set(events)) if events.count(event) > 1]
    faults += [
        f"{FILE}: alerts: {alert['event']} comes from {alert['sender']}: let {sender} send it, the one sender of quotes"
        for alert in alerts
        if alert["sender"] != sender
    ]
    assert not faults, "\n".join(faults)


def test_nobody_else_has_the_quote_senders_address() -> None:
    register = alerts_register()
    sender = register["quote_sender"]
    assert sender in register["senders"], f"{FILE}: quote_sender is {sender}, which senders lacks: add it, with address and service"
    address = register["senders"][sender]["address"].lower()
    faults = [
        f"{FILE}: senders.{name}.address is that of {sender}: give it one of its own"
        for name, settings in register["senders"].items()
        if name != sender and settings["address"].lower() == address
    ]
    assert not faults, "\n".join(faults)


def test_only_the_senders_service_sends_quote_alerts_and_it_sends_all_of_them() -> None:
    register, services = alerts_register(), read(SERVICES)["services"]
    home = register["senders"][register["quote_sender"]]["service"]
    assert home in services, f"{FILE}: the quote sender's service is {home}, which {SERVICES} lacks: name the service that sends them"
    sent = {(name, event) for name, service in services.items() for event in sends(service) if of_quotes(event)}
    faults = [f"{SERVICES}: services.{name}.sends has {event}: only {home} tells about quotes" for name, event in sorted(sent) if name != home]
    told = {event for name, event in sent if name == home}
    listed = {alert["event"] for alert in register["alerts"] if of_quotes(alert["event"])}
    faults += [f"{SERVICES}: services.{home}.sends lacks {event}, which {FILE} lists: add it" for event in sorted(listed - told)]
    faults += [f"{FILE}: alerts lacks {event}, which {home} sends: add who gets it" for event in sorted(told - listed)]
    assert not faults, "\n".join(faults)
