"""Whether a machine clears Docker's store by itself, within the limits that the policy has now."""

from __future__ import annotations

from typing import Any

from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER
from controlplane.domain.desired import DesiredHost
from controlplane.domain.digest import digest_of
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.hygiene import log_limit

# Counts how the timer chooses what goes: one with an older choice is drift, and gets the tools of now.
_CHOICE = 3


def timer_settings(desired: DesiredHost) -> dict[str, Any]:
    """Return what the timer is told: {budgets: {images, build_cache, log}, keep, protect}."""
    hygiene, limits = desired.docker.hygiene, desired.thresholds
    budgets = {"images": limits.images, "build_cache": limits.build_cache, "log": log_limit(desired.docker.log)}
    return {"budgets": budgets, "keep": hygiene.keep if hygiene else 0, "protect": list(hygiene.protect) if hygiene else []}


def settings_digest(desired: DesiredHost) -> str:
    """Return the short digest of those settings, of how often and how it chooses, by which the service's command line tells what it was made for."""
    every = desired.docker.hygiene.timer if desired.docker.hygiene else None
    return digest_of({**timer_settings(desired), "every": every, "choice": _CHOICE}).removeprefix("sha256:")[:12]


def is_in_place(desired: DesiredHost, reader: Reader) -> bool:
    """Say whether the timer runs with those settings, and did not fail the last time; or is not there where none is wanted. Raises `Unobserved`."""
    wanted = desired.docker.hygiene is not None and desired.docker.hygiene.timer is not None
    return runs_by(settings_digest(desired) if wanted else None, reader)


def runs_by(digest: str | None, reader: Reader) -> bool:
    """Say whether the timer runs with the settings of that digest, and did not fail the last time; with None whether there is no timer.

    Raises `Unobserved`.
    """
    units = reader.units
    if HYGIENE_TIMER not in units or HYGIENE_SERVICE not in units:
        raise Unobserved(f"{HYGIENE_TIMER} was not looked at")
    timer, service = units[HYGIENE_TIMER], units[HYGIENE_SERVICE]
    if digest is None:
        return timer["load_state"] == "not-found" and service["load_state"] == "not-found"
    if service["properties"].get("Result", "success") not in ("", "success"):
        return False
    runs = timer["load_state"] == "loaded" and timer["active_state"] == "active" and timer["enabled"] == "enabled"
    return runs and service["exec_start"].endswith(f"--settings {digest}")
