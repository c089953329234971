"""Whether a machine clears Docker's store by itself, within the limits that the policy has now."""

from __future__ import annotations

from typing import Any

from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER
from controlplane.domain.desired import DesiredHost
from controlplane.domain.digest import digest_of
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.system import Unit
from controlplane.domain.hygiene import log_limit

RECEIPTS = "/var/lib/controlplane/hygiene/receipts"
# Counts how the timer chooses what goes, and removes it: one that was set up by an older way is drift, and gets the tools of now.
_CHOICE = 4


def timer_settings(desired: DesiredHost) -> dict[str, Any]:
    """Return what the timer is told: {budgets: {images, build_cache, log}, keep, protect}."""
    hygiene, limits = desired.docker.hygiene, desired.thresholds
    budgets = {"images": limits.images, "build_cache": limits.build_cache, "log": log_limit(desired.docker.log)}
    return {"budgets": budgets, "keep": hygiene.keep if hygiene else 0, "protect": list(hygiene.protect) if hygiene else []}


def settings_digest(desired: DesiredHost) -> str:
    """Return the short digest of those settings, of how often and how it chooses, by which the service's command line tells what it was made for."""
    return digest_of_settings(timer_settings(desired), desired.docker.hygiene.timer if desired.docker.hygiene else None)


def digest_of_settings(settings: dict[str, Any], every: str | None) -> str:
    """Return that digest of settings as `timer_settings` gives them, for a timer that runs `every` day or week."""
    return digest_of({**settings, "every": every, "choice": _CHOICE}).removeprefix("sha256:")[:12]


def is_in_place(desired: DesiredHost, reader: Reader) -> bool:
    """Say whether the timer runs with those settings, and did not fail the last time; or is not there where none is wanted. Raises `Unobserved`."""
    wanted = desired.docker.hygiene is not None and desired.docker.hygiene.timer is not None
    return runs_by(settings_digest(desired) if wanted else None, reader)


def runs_by(digest: str | None, reader: Reader) -> bool:
    """Say whether the timer runs with the settings of that digest, and did not fail the last time; with None whether there is no timer.

    Raises `Unobserved`.
    """
    return _is_set_up(digest, reader) and (digest is None or failed_with(reader) is None)


def failed_with(reader: Reader) -> str | None:
    """Return systemd's word for how the timer's last run failed, None where it did not. Raises `Unobserved`."""
    _, service = _units(reader)
    result = service["properties"].get("Result", "success")
    return None if result in ("", "success") else result


def told_of_failure(desired: DesiredHost, reader: Reader) -> str | None:
    """Return how the timer that runs with these very settings failed the last time, and what to do; None where it did not, or is to be set up anyway.

    Raises `Unobserved`.
    """
    result = failed_with(reader)
    if result is None or not _is_set_up(settings_digest(desired), reader):
        return None
    return (
        f"the timer that clears Docker's store failed the last time ({result}): the receipts in {RECEIPTS} on {desired.host} say why. "
        f"Mend that, then run it there: systemctl start {HYGIENE_SERVICE}"
    )


def _is_set_up(digest: str | None, reader: Reader) -> bool:
    timer, service = _units(reader)
    if digest is None:
        return timer["load_state"] == "not-found" and service["load_state"] == "not-found"
    runs = timer["load_state"] == "loaded" and timer["active_state"] == "active" and timer["enabled"] == "enabled"
    return runs and service["exec_start"].endswith(f"--settings {digest}")


def _units(reader: Reader) -> tuple[Unit, Unit]:
    units = reader.units
    if HYGIENE_TIMER not in units or HYGIENE_SERVICE not in units:
        raise Unobserved(f"{HYGIENE_TIMER} was not looked at")
    return units[HYGIENE_TIMER], units[HYGIENE_SERVICE]
