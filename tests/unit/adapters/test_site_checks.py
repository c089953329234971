"""A site's own checks, run for real in a process of their own: what each ending of a test comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.adapters.site_checks import PytestSiteChecks
from controlplane.domain.finding import Verdict
from controlplane.domain.gates.values import SiteCheck
from controlplane.domain.inventory import InventoryHost

HERE = InventoryHost(name="here", variables={"ansible_connection": "local"})
NOWHERE = InventoryHost(name="nowhere", variables={"ansible_host": "127.0.0.1", "ansible_port": 1})
ENDINGS = """
import pytest

def test_one_that_holds():
    assert (__import__("pathlib").Path.cwd() / "site.yml").exists()

def test_one_that_does_not():
    assert 1 == 2, "registry/services.yml: quote-page has no owner: name one"

def test_one_that_breaks():
    {}["owner"]

def test_one_that_says_nothing():
    assert [] == [1]

@pytest.mark.skip(reason="not today")
def test_one_that_is_skipped():
    pass

@pytest.fixture
def broken():
    raise OSError("no such thing")

def test_one_that_can_not_be_set_up(broken):
    pass
"""
MACHINES = """
def test_a_machine_has_a_name(host):
    assert host.check_output("echo it").strip() == "it"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "checks").mkdir()
    (tmp_path / "site.yml").write_text("name: x\n")
    # A configuration of the site's own, and of above it, is none of ours.
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    return tmp_path


def ran(site: Path, text: str, *hosts: InventoryHost, limit_s: float = 60) -> dict[tuple[str, str], tuple[Verdict, str]]:
    (site / "checks" / "test_d1.py").write_text(text)
    check = {"D1": SiteCheck(title="x", severity="high", file="checks/test_d1.py")}
    found = PytestSiteChecks(site, limit_s=limit_s).run(check, hosts)
    assert {(one.check, one.severity) for one in found} == {("D1", "high")}
    return {(one.host, one.surface): (one.verdict, one.reason) for one in found}


def test_only_what_ran_and_passed_is_met(site: Path) -> None:
    found = ran(site, ENDINGS)
    assert found == {
        ("site", "check:test_one_that_holds"): (Verdict.MET, "as declared"),
        ("site", "check:test_one_that_does_not"): (Verdict.DRIFTED, "registry/services.yml: quote-page has no owner: name one"),
        ("site", "check:test_one_that_says_nothing"): (Verdict.DRIFTED, "assert [] == [1]"),
        ("site", "check:test_one_that_breaks"): (Verdict.UNKNOWN, "error: 'owner'"),
        ("site", "check:test_one_that_is_skipped"): (Verdict.UNKNOWN, "skipped: not today"),
        ("site", "check:test_one_that_can_not_be_set_up"): (Verdict.UNKNOWN, "error: no such thing"),
    }


def test_a_test_that_takes_a_host_is_judged_on_each_and_one_that_is_not_reached_is_unknown(site: Path) -> None:
    found = ran(site, MACHINES, HERE, NOWHERE)
    assert found["here", "check:test_a_machine_has_a_name"] == (Verdict.MET, "as declared")
    verdict, reason = found["nowhere", "check:test_a_machine_has_a_name"]
    assert (verdict, "Connection refused" in reason) == (Verdict.UNKNOWN, True), reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "checks/test_d1.py was not run to its end (pytest 5)"),
        ("import nothing_of_that_name\n", "was not run to its end (pytest 2)"),
        ("def test_a():\n    import os\n    os._exit(0)\n", "was not run to its end (pytest 0)"),
        ("import time\n\ndef test_a():\n    time.sleep(60)\n", "did not end within 8 s"),
    ],
)
def test_a_file_that_is_not_run_to_its_end_is_unknown(site: Path, text: str, words: str) -> None:
    [(verdict, reason)] = ran(site, text, limit_s=8 if "sleep" in text else 60).values()
    assert (verdict, words in reason) == (Verdict.UNKNOWN, True), reason


def test_nothing_is_left_in_the_site(site: Path) -> None:
    before = set(site.rglob("*"))
    ran(site, ENDINGS)
    assert set(site.rglob("*")) - before == {site / "checks" / "test_d1.py"}
