"""D226: whoever says that something is live says which run showed it, and when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE, SERVICES = "registry/claims.yml", "registry/services.yml"
RUN = re.compile(r"CAP-(\d{8})-\d{6}__[a-z][a-z0-9_.]*__R[0-9a-f]{4}", re.ASCII)
LIVE = re.compile(r"\b(live|in production)\b", re.IGNORECASE)
NAMED = re.compile(r"\[claim:([^\]\s]+)\]")


def claims() -> dict[str, dict[str, Any]]:
    found = yaml.safe_load((SITE / FILE).read_text("utf-8")).get("claims")
    assert found, f"{FILE}: claims is empty: restore it from git"
    return found


def stamped(claim: dict[str, Any]) -> bool:
    key, day = RUN.fullmatch(str(claim.get("run"))), claim.get("day")
    return key is not None and type(day) is date and key[1] == f"{day:%Y%m%d}"


def lines() -> Iterator[tuple[str, str]]:
    """Yield the lines of the site's pages, with file and number."""
    for page in sorted(SITE.glob("*.md")):
        for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
            yield f"{page.name}:{number}", line


def test_each_claim_has_the_run_that_showed_it_and_that_runs_day() -> None:
    faults = [
        f"{FILE}: claims.{name} has run {claim.get('run')} and day {claim.get('day')}: write the key and the day (UTC) of the one run that showed it"
        for name, claim in claims().items()
        if not stamped(claim)
    ]
    faults += [f"{FILE}: claims.{name}.says is missing: write what the run showed" for name, claim in claims().items() if not claim.get("says")]
    assert not faults, "\n".join(faults)


def test_each_service_that_is_called_live_has_a_claim() -> None:
    services = yaml.safe_load((SITE / SERVICES).read_text("utf-8"))["services"]
    known, called = claims(), [name for name, service in services.items() if service["status"] == "live"]
    assert called, f"{SERVICES}: no service has status live: then {FILE} proves nothing; restore it from git"
    faults = [
        f"{SERVICES}: services.{name}.status is live, {FILE} has no claim {name}: stamp one, or write staged" for name in called if name not in known
    ]
    faults += [
        f"{FILE}: claims.{name} is of no service with status live: take it out, or write live in {SERVICES}" for name in known if name not in called
    ]
    assert not faults, "\n".join(faults)


def test_each_line_of_a_page_that_says_live_names_its_claim() -> None:
    known = claims()
    faults = [
        f"{place} says that something is live and names no claim: add [claim:NAME] of {FILE}, or say what was seen"
        for place, line in lines()
        if LIVE.search(NAMED.sub("", line)) and not NAMED.search(line)
    ]
    faults += [
        f"{place} names the claim {name}, which {FILE} lacks: stamp it there"
        for place, line in lines()
        for name in NAMED.findall(line)
        if name not in known
    ]
    assert not faults, "\n".join(faults)
