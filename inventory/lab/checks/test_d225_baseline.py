"""D225: the baseline was green before other work began, so that a later red is of that work."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE = "registry/baseline.yml"
RUN = re.compile(r"CAP-(\d{8})-\d{6}__[a-z][a-z0-9_.]*__R[0-9a-f]{4}", re.ASCII)


def register() -> dict[str, Any]:
    """Return baseline.yml with all that these tests look at."""
    found = yaml.safe_load((SITE / FILE).read_text("utf-8"))
    wanted = [("", found, ("required", "last_green", "work")), ("last_green.", found.get("last_green", {}), ("run", "day", "results"))]
    wanted += [(f"work.{i}.", item, ("id", "state")) for i, item in enumerate(found.get("work", []))]
    faults = [f"{FILE}: {place}{key} is missing: write it" for place, entry, keys in wanted for key in keys if key not in entry]
    assert not faults, "\n".join(faults)
    return found


def test_the_baseline_is_all_of_the_sites_own_checks_but_this_one() -> None:
    own = set(yaml.safe_load((SITE / "gates.yml").read_text("utf-8"))["checks"]) - {"D225"}
    required = set(register()["required"])
    faults = [f"{FILE}: required lacks {check}: add it, and run the pack again" for check in sorted(own - required)]
    faults += [f"{FILE}: required has {check}, no check of gates.yml: take it out" for check in sorted(required - own)]
    assert not faults, "\n".join(faults)


def test_each_required_check_was_green_in_the_run_of_that_day() -> None:
    baseline = register()
    green, required = baseline["last_green"], baseline["required"]
    assert required, f"{FILE}: required is empty: a baseline of nothing is always green; restore it from git"
    key = RUN.fullmatch(str(green["run"]))
    faults = []
    if key is None or type(green["day"]) is not date or key[1] != f"{green['day']:%Y%m%d}":
        faults.append(f"{FILE}: last_green.run {green['run']} is no run of {green['day']}: write the key and the day (UTC) of one and the same run")
    faults += [
        f"{FILE}: last_green.results.{check} is {green['results'].get(check, 'missing')}: make it green and write the new run, before other work"
        for check in required
        if green["results"].get(check) != "green"
    ]
    assert not faults, "\n".join(faults)


def test_no_open_work_began_before_the_baseline_was_green() -> None:
    baseline = register()
    green, faults = baseline["last_green"], []
    for item in baseline["work"]:
        place = f"{FILE}: work {item['id']}"
        if item.get("state") not in {"open", "closed"}:
            faults.append(f"{place}: state is {item.get('state')}: write open or closed")
        if item.get("state") == "closed":
            continue
        if type(item.get("started")) is not date:
            faults.append(f"{place}: started is no day: write the day on which it began, as 2026-02-25")
        elif item["started"] < green["day"]:
            faults.append(
                f"{place} began on {item['started']}, the baseline is green since {green['day']}: stop it until a green run, and begin again after it"
            )
        if item.get("baseline") != green["run"]:
            faults.append(f"{place}: baseline is {item.get('baseline')}, not {green['run']}: compare its findings with that run, and write that down")
    assert not faults, "\n".join(faults)
