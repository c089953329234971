"""The gate of a promotion: each line is shut by what it is there for, and by doubt."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.coordination import GateResult, GateRun
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.gate import PromotionCase, is_open, promotion_gate
from controlplane.domain.releases.history import Since
from controlplane.domain.releases.manifest import Manifest
from controlplane.domain.releases.own_gaps import OwnGaps
from controlplane.domain.releases.proof import Proof
from controlplane.domain.releases.smoke import SmokeReport, SmokeTest
from controlplane.domain.releases.values import ReleaseSpec

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
AN_HOUR_AGO = "2026-01-02T11:00:00Z"
STAGED = Since(5, "2026-01-02T10:00:00Z")
KEY = "CAP-20260102-110000__release.smoke__R0001"
ANOTHER = "CAP-20260102-100000__release.smoke__R0009"
MANIFEST = Manifest(
    stack="shop",
    commit="abcdef1",
    built_at="2026-01-02T09:00:00Z",
    images={"web": "registry.example.org/shop/web@sha256:" + "a" * 64},
    tested_by=KEY,
)
_PLACE = {
    "hosts": ["one"],
    "project": "shop",
    "compose": ["shop/compose.yml"],
    "contract": "shop/.env.staging.example",
    "smoke": {"files": ["shop/test.py"], "urls": {"web": "http://10.0.0.1:81"}},
}
ASKED = {"shop/conftest.py": "1" * 64, "shop/test.py": "2" * 64}
SPEC = ReleaseSpec.model_validate(
    {
        "goal": "sell",
        "images": {"web": "registry.example.org/shop/web"},
        "environments": {"staging": _PLACE, "production": _PLACE},
        "recert": [{"name": "typecheck", "run": ["true"]}, {"name": "tests", "run": ["true"]}],
        "promotion": {"pack": "mint"},
        "loop": "LOOP-SHOP-RELEASE-20260101",
    }
)
PASSED = GateRun(
    run="CAP-20260102-110000__gates.run__R0003",
    at=AN_HOUR_AGO,
    pack="mint",
    policy="sha256:p",
    hosts={"one": "sha256:one", "site": "site"},
    results=(GateResult(check="D235", host="one", checker="c", verdict="MET", passed=True, reason=""),),
)


def receipt(capability: str, at: str = AN_HOUR_AGO, **other: Any) -> Receipt:
    """Return the result of a look that ended well."""
    plain: dict[str, Any] = {
        "seq": 7,
        "previous": None,
        "key": f"CAP-20260102-110000__{capability}__R0001",
        "run": f"CAP-20260102-110000__{capability}__R0001",
        "phase": "result",
        "at": at,
        "site": "s",
        "host": "*",
        "capability": capability,
        "step": "shop",
        "plan": "",
        "policy": "sha256:p",
        "operator": "ops@here",
        "outcome": "done",
    }
    return Receipt.model_validate(plain | other)


def report(**other: Any) -> SmokeReport:
    """Return a smoke run that met the manifest and passed."""
    plain: dict[str, Any] = {
        "run": KEY,
        "stack": "shop",
        "environment": "staging",
        "manifest": MANIFEST.digest,
        "manifest_name": "v2",
        "at": AN_HOUR_AGO,
        "tests": (SmokeTest(name="flow", outcome="passed"),),
        "files": ASKED,
        "urls": {"web": "http://10.0.0.1:81"},
    }
    return SmokeReport.model_validate(plain | other)


RAN: dict[str, Any] = {"argv": ["true"], "dir": None, "code": 0, "seconds": 1.0, "tail": ""}


def certified(**other: Any) -> Receipt:
    """Return a recertification of the manifest in which every command ended well."""
    told = {"manifest": MANIFEST.digest, "commands": [RAN | {"name": "typecheck"}, RAN | {"name": "tests"}]}
    return receipt("release.recert", told=told | other.pop("told", {}), **other)


def finding(verdict: Verdict = Verdict.MET, host: str = "one") -> Finding:
    """Return what D249 says of a staging host."""
    return Finding(check="D249", host=host, surface="release:shop", verdict=verdict, severity="high", reason="as it is")


GOOD = PromotionCase(
    stack="shop",
    spec=SPEC,
    name="v2",
    manifest=MANIFEST,
    now=NOW,
    staged={"one": STAGED},
    running=[finding()],
    unlike={},
    smoked=Proof(receipt("release.smoke"), report()),
    production=None,
    refusals=(),
    asked=ASKED,
    certified=certified(),
    faults=[],
    unchecked=None,
    ready={"prod": None},
    gaps=OwnGaps(),
    pack=PASSED,
    policy="sha256:p",
    shut=None,
    unapproved=None,
)


def test_where_every_line_holds_the_gate_is_open() -> None:
    lines = promotion_gate(GOOD)
    assert [line.name for line in lines] == [
        "contract",
        "staged",
        "images",
        "smoke",
        "recert",
        "pack mint",
        "production",
        "storage of prod",
        "gaps",
        "window",
        "approval",
    ]
    assert is_open(lines), lines
    assert not [line for line in lines if line.next]


def test_a_gate_without_lines_is_shut() -> None:
    assert not is_open([])


OTHER, ELSEWHERE = RAN | {"name": "typecheck", "argv": ["true", "-x"]}, RAN | {"name": "typecheck", "dir": "/srv/modules"}
SKIPPED = SmokeTest(name="upload", outcome="skipped")
SHUT: list[tuple[str, dict[str, Any], str, str]] = [
    ("contract", {"faults": ["a", "b"]}, "DRIFTED", "a; b"),
    ("contract", {"unchecked": "git is not there"}, "UNKNOWN", "git is not there"),
    ("staged", {"staged": {"one": None}}, "DRIFTED", "v2 is not what one got last in staging"),
    ("staged", {"staged": {}, "running": []}, "DRIFTED", "v2 is not what no host got last in staging"),
    ("staged", {"running": [finding(Verdict.DRIFTED)]}, "DRIFTED", "one: as it is"),
    ("staged", {"running": [finding(Verdict.UNKNOWN)]}, "UNKNOWN", "one: as it is"),
    ("staged", {"running": []}, "UNKNOWN", "one was not judged"),
    ("images", {"unlike": {"db": ("sha256:b", "sha256:a")}}, "DRIFTED", "db runs sha256:a in staging, not sha256:b"),
    ("images", {"unlike": {"db": ("sha256:b", None)}}, "UNKNOWN", "db is in production alone, so nothing proved sha256:b in staging"),
    ("images", {"unlike": {"db": ("sha256:b", None), "web": ("sha256:d", "sha256:c")}}, "DRIFTED", "web runs sha256:c in staging, not sha256:d"),
    ("smoke", {"smoked": None}, "DRIFTED", "no smoke run in staging is on record"),
    ("smoke", {"smoked": Proof(receipt("release.smoke"), report(manifest="0", manifest_name="v1"))}, "DRIFTED", "the newest one met v1, not v2"),
    ("smoke", {"smoked": Proof(receipt("release.smoke"), report(tests=(SKIPPED,)))}, "DRIFTED", "1 of 1 tests did not pass: upload"),
    ("smoke", {"smoked": Proof(receipt("release.smoke"), report(tests=()))}, "DRIFTED", "0 of 0 tests did not pass"),
    ("smoke", {"smoked": Proof(receipt("release.smoke"), report(doubt="web ran another image"))}, "DRIFTED", "web ran another image"),
    ("smoke", {"smoked": Proof(receipt("release.smoke", outcome="failed"), report())}, "DRIFTED", "did not end well"),
    ("smoke", {"smoked": Proof(receipt("release.smoke", seq=4), report())}, "DRIFTED", "it was staged again since"),
    ("smoke", {"asked": ASKED | {"shop/test.py": "3" * 64}}, "DRIFTED", "staging asks for something else now: shop/test.py"),
    ("smoke", {"asked": ASKED | {"shop/test_more.py": "3" * 64}}, "DRIFTED", "staging asks for something else now: shop/test_more.py"),
    ("smoke", {"asked": {"shop/test.py": "2" * 64}}, "DRIFTED", "staging asks for something else now: shop/conftest.py"),
    ("smoke", {"smoked": Proof(receipt("release.smoke"), report(urls={}))}, "DRIFTED", "staging asks for something else now: the address of web"),
    (
        "smoke",
        {"smoked": Proof(receipt("release.smoke"), report(files={}))},
        "DRIFTED",
        "staging asks for something else now: shop/conftest.py, shop/test.py",
    ),
    ("smoke", {"manifest": MANIFEST.model_copy(update={"tested_by": None})}, "DRIFTED", "manifest v2 says tested_by nothing, not this run"),
    ("smoke", {"manifest": MANIFEST.model_copy(update={"tested_by": ANOTHER})}, "DRIFTED", f"manifest v2 says tested_by {ANOTHER}, not this run"),
    ("smoke", {"now": NOW + timedelta(days=2)}, "DRIFTED", "old, limit"),
    ("smoke", {"now": NOW - timedelta(hours=2)}, "DRIFTED", "it is from the future"),
    ("recert", {"spec": SPEC.model_copy(update={"recert": ()})}, "UNKNOWN", "the release names no command that certifies it"),
    ("recert", {"certified": None}, "DRIFTED", "no recertification is on record"),
    ("recert", {"certified": certified(told={"manifest": "sha256:0"})}, "DRIFTED", "the newest one is not of v2"),
    ("recert", {"certified": certified(outcome="failed", reason="tests ended with 1")}, "DRIFTED", "tests ended with 1"),
    ("recert", {"certified": certified(told={"commands": [RAN | {"name": "tests"}]})}, "DRIFTED", "it did not run typecheck"),
    ("recert", {"certified": certified(told={"commands": [OTHER, RAN | {"name": "tests"}]})}, "DRIFTED", "another command now for typecheck"),
    ("recert", {"certified": certified(told={"commands": [ELSEWHERE, RAN | {"name": "tests"}]})}, "DRIFTED", "another command now for typecheck"),
    ("recert", {"now": NOW + timedelta(days=2)}, "DRIFTED", "old, limit"),
    ("pack mint", {"pack": None}, "DRIFTED", "no run of it is on record"),
    ("pack mint", {"policy": "sha256:q"}, "DRIFTED", "the policy changed since"),
    ("pack mint", {"now": NOW + timedelta(days=2)}, "DRIFTED", "old, limit"),
    ("pack mint", {"pack": PASSED.model_copy(update={"results": ()})}, "DRIFTED", "it judged no check"),
    ("pack mint", {"pack": PASSED.model_copy(update={"hosts": {"other": "sha256:o", "site": "site"}})}, "DRIFTED", "it did not look at one"),
    ("pack mint", {"pack": PASSED.model_copy(update={"hosts": {"one": "unreached", "site": "site"}})}, "DRIFTED", "it did not look at one"),
    ("production", {"production": "r1 was brought there and no smoke run met it since"}, "DRIFTED", "no smoke run met it since"),
    ("plan", {"refusals": ("one: its folder is another",)}, "DRIFTED", "a part of it can't be done: one: its folder is another"),
    ("storage of prod", {"ready": {"prod": "the policy changed since"}}, "DRIFTED", "the policy changed since"),
    ("gaps", {"gaps": OwnGaps(("GAP-OP-1", "GAP-OP-2"))}, "DRIFTED", "GAP-OP-1, GAP-OP-2 are open in LOOP-SHOP-RELEASE-20260101"),
    ("gaps", {"gaps": OwnGaps(doubt="the site's registers could not be read")}, "UNKNOWN", "the site's registers could not be read"),
    ("window", {"shut": "the next one opens at 22:00"}, "DRIFTED", "the next one opens at 22:00"),
    ("approval", {"unapproved": "nobody approved it"}, "DRIFTED", "nobody approved it"),
]


@pytest.mark.parametrize(("name", "change", "verdict", "reason"), SHUT)
def test_each_line_is_shut_by_what_it_is_there_for(name: str, change: dict[str, Any], verdict: str, reason: str) -> None:
    lines = promotion_gate(replace(GOOD, **change))
    assert not is_open(lines)
    [line] = [line for line in lines if line.name == name]
    assert (line.verdict.value, reason in line.reason) == (verdict, True), line


@pytest.mark.parametrize(("verdict", "said"), [("UNKNOWN", "UNKNOWN"), ("DRIFTED", "DRIFTED")])
def test_a_pack_that_did_not_pass_shuts_it(verdict: str, said: str) -> None:
    failed = GateResult.model_validate({"check": "D236", "host": "one", "checker": "c", "verdict": verdict, "passed": False, "reason": "r"})
    lines = promotion_gate(replace(GOOD, pack=PASSED.model_copy(update={"results": (*PASSED.results, failed)})))
    [line] = [line for line in lines if line.name == "pack mint"]
    assert (line.verdict.value, line.reason) == (said, f"{PASSED.run}: D236 did not pass")
