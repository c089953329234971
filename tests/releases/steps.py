"""What somebody does with releases, step by step, through the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.releases.site import STACK, ReleaseSite, Where


def preview(site: ReleaseSite, verb: str, name: str, *, code: int = 3) -> dict[str, Any]:
    """Show what a verb would do, and keep its plan."""
    return dict(site.did("release", verb, STACK, "--manifest", name, "--out", plan_of(site, name, verb), code=code))


def plan_of(site: ReleaseSite, name: str, verb: str = "stage") -> str:
    return str(site.site.parent / f"{verb}-{name}.json")


def carry_out(site: ReleaseSite, verb: str, name: str, *, code: int = 0) -> dict[str, Any]:
    """Plan, approve and carry out what brings a manifest to staging or to production."""
    preview(site, verb, name)
    if site.approval != "none":
        site.did("approve", plan_of(site, name, verb))
    return dict(site.did("release", verb, STACK, "--plan", plan_of(site, name, verb), code=code))


def prove(site: ReleaseSite, name: str) -> None:
    """Bring what a promotion takes: smoke tests in staging, the modules' own commands, the site's pack and its authority status."""
    assert site.did("release", "smoke", STACK, "--env", "staging")["passed"]
    assert site.did("release", "recert", STACK, "--manifest", name)["passed"]


def shut(site: ReleaseSite, name: str) -> set[str]:
    """Return which lines of the gate do not hold, and keep the plan; nothing is changed by looking."""
    receipts, running = site.receipts(), site.running("production")
    words = ("release", "promote", STACK, "--manifest", name, "--dry-run", "--out", plan_of(site, name, "promote"))
    gate = site.did(*words, code=4)["gate"]
    assert (site.receipts(), site.running("production")) == (receipts, running)
    return {line["name"] for line in gate if line["verdict"] != "MET"}


def assert_runs(site: ReleaseSite, where: Where, build: Mapping[str, str]) -> None:
    """The machine runs these digests, and what it runs does what it is for; neither is this program's word."""
    assert site.running(where) == build
    said = site.smoke(where)
    assert said.returncode == 0, said.stdout
