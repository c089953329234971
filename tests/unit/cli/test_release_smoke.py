"""release smoke and release recert as a person and a script meet them: exit codes, forms of output, and what to do next."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from controlplane import wiring
from controlplane.domain.releases.smoke import SmokeTest
from controlplane.wiring import releases
from tests.fakes.command_line import Run, command_line
from tests.fakes.releases import ReleaseSite, manifest

FAILED = SmokeTest(name="test_flow.py::test_422", outcome="failed", reason="an invalid intake gets 200\x1b[31m", seconds=0.25, host="mint-apps")
SKIPPED = SmokeTest(name="test_flow.py::test_upload", outcome="skipped", reason="no token")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> ReleaseSite:
    fake = ReleaseSite()
    fake.deploy(1)
    fake.deploy(1, "production")
    monkeypatch.setattr(wiring, "site_view", lambda _given: fake.view)
    monkeypatch.setattr(wiring, "receipts", lambda _given: fake.receipts)
    monkeypatch.setattr(wiring, "operator", lambda: "ann@desk")
    monkeypatch.setattr(releases, "smoke_ports", lambda _view: fake.smoke_ports)
    monkeypatch.setattr(releases, "recert_ports", lambda _view: fake.recert_ports)
    return fake


@pytest.fixture
def run(site: ReleaseSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:  # noqa: ARG001 - the verbs meet the fake site
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


def test_a_pass_is_a_line_for_each_test_the_verdict_the_receipt_and_what_to_do_next(run: Run, site: ReleaseSite) -> None:
    said = run("release", "smoke", "shop", "--env", "staging")
    assert (said.code, said.out.splitlines()) == (
        0,
        [
            "passed   test_flow.py::test_it  0.5 s",
            "1 of 1 tests passed: manifest r1 of shop in staging is proven.",
            f"receipt  {site.receipts.chain[-1].key}",
            "next     controlplane release promote shop --dry-run    (shows the gate)",
        ],
    )
    assert said.err.splitlines() == ["shop in staging: what runs, by evidence", "shop in staging: the smoke tests of manifest r1"]
    assert run("release", "smoke", "shop", "--env", "production").out.splitlines()[-1] == "next     controlplane release status shop"


@pytest.mark.parametrize(
    ("environment", "tests", "code", "after"),
    [
        ("staging", (FAILED,), 1, "mend it, then stage the manifest of a new build: controlplane release stage shop --manifest NAME"),
        ("production", (FAILED, SKIPPED), 1, "controlplane release rollback shop --env production --dry-run    (the way back)"),
        ("staging", (SKIPPED,), 5, "mend what kept the tests from being run, then: controlplane release smoke shop --env staging"),
        ("production", (), 5, "mend what kept the tests from being run, then: controlplane release smoke shop --env production"),
    ],
)
def test_what_did_not_pass_says_why_and_what_to_do(
    run: Run, site: ReleaseSite, environment: str, tests: tuple[SmokeTest, ...], code: int, after: str
) -> None:
    site.tests.tests = tests
    said = run("release", "smoke", "shop", "--env", environment)
    lines = said.out.splitlines()
    assert (said.code, lines[-1]) == (code, f"next     {after}")
    assert lines[-3] == f"0 of {len(tests)} tests passed: manifest r1 of shop in {environment} is not proven."
    if FAILED in tests:
        assert lines[:2] == ["failed   test_flow.py::test_422  on mint-apps  0.2 s", "         an invalid intake gets 200\ufffd[31m"]
    if SKIPPED in tests:
        assert lines[-5:-3] == ["skipped  test_flow.py::test_upload  0.0 s", "         no token"]


def test_after_a_way_back_that_does_not_prove_itself_what_is_named_goes_further(run: Run, site: ReleaseSite) -> None:
    site.take_back(site.deploy(1, "production"))
    site.tests.tests = (FAILED,)
    said = run("release", "smoke", "shop", "--env", "production")
    assert said.out.splitlines()[-1] == "next     controlplane release rollback shop --env production --to nothing --dry-run    (the way back)"


def test_doubt_is_5_and_said_beside_the_tests(run: Run, site: ReleaseSite) -> None:
    site.service("mint-data", "intake")["health"] = "unhealthy"
    said = run("release", "smoke", "shop", "--env", "production")
    assert (said.code, said.out.splitlines()[0]) == (0, "passed   test_flow.py::test_it  0.5 s")
    said = run("release", "smoke", "shop", "--env", "staging")
    assert said.code == 5
    assert said.out.splitlines()[1:3] == [
        "doubt    mint-data: intake: shop-staging-intake-1 is unhealthy, not healthy",
        "1 of 1 tests passed: manifest r1 of shop in staging is not proven.",
    ]
    assert said.out.splitlines()[-1] == "next     controlplane release status shop    (what runs where)"


def test_json_is_the_report_with_the_receipts_key(run: Run, site: ReleaseSite) -> None:
    data = run("release", "smoke", "shop", "--env", "staging", "-o", "json").json()
    assert (data["receipt"], data["run"], data["passed"], data["doubt"]) == (site.receipts.chain[-1].key,) * 2 + (True, None)
    assert (data["manifest"], data["tests"][0]["outcome"]) == (manifest(1).digest, "passed")


def test_junit_has_a_case_for_each_test_and_one_for_what_ran_and_a_skipped_one_is_an_error(run: Run, site: ReleaseSite) -> None:
    site.tests.tests += (FAILED, SKIPPED)
    said = run("release", "smoke", "shop", "--env", "staging", "-o", "junit", "--junit", "out/smoke.xml")
    assert said.code == 1
    assert Path("out/smoke.xml").read_text() == said.out
    root = ET.fromstring(said.out)  # noqa: S314 - a document of our own
    assert root.attrib == {"name": "controlplane release smoke", "tests": "4", "failures": "1", "errors": "1", "skipped": "0", "time": "0.75"}
    cases = [(case.get("classname"), case.get("name"), [(child.tag, child.get("message")) for child in case]) for case in root.iter("testcase")]
    assert cases == [
        ("shop.staging", "manifest r1 runs", []),
        ("shop.staging", "test_flow.py::test_it", []),
        ("shop.staging.mint-apps", "test_flow.py::test_422", [("failure", "an invalid intake gets 200\ufffd[31m")]),
        ("shop.staging", "test_flow.py::test_upload", [("error", "no token")]),
    ]
    site.service("mint-data", "intake")["health"] = "unhealthy"
    root = ET.fromstring(run("release", "smoke", "shop", "--env", "staging", "-o", "junit").out)  # noqa: S314 - as above
    assert root.attrib["errors"] == "2"


def test_a_junit_file_that_can_not_be_written_is_said_before_anything_is_run(run: Run, site: ReleaseSite) -> None:
    before = len(site.receipts.chain)
    Path("folder").mkdir()
    said = run("release", "smoke", "shop", "--env", "staging", "--junit", "folder")
    assert (said.code, said.err) == (2, "folder: --junit: is a folder: name the file that the JUnit file goes to\n")
    assert len(site.receipts.chain) == before


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("smoke", "shop"), 2, "Missing option '--env'"),
        (("smoke", "shop", "--env", "test"), 2, "'test' is not one of 'staging', 'production'"),
        (("smoke", "other", "--env", "staging"), 2, "releases/other.yml: does not exist"),
        (("recert", "shop"), 2, "Missing option '--manifest'"),
        (("recert", "shop", "--manifest", "r9"), 2, "manifests/r9.yml: does not exist"),
    ],
)
def test_what_can_not_be_asked_is_said(run: Run, words: tuple[str, ...], code: int, told: str) -> None:
    said = run("release", *words)
    assert (said.code, told in said.err) == (code, True), said


def test_what_is_not_deployed_is_4_and_says_what_to_do_first(run: Run, site: ReleaseSite) -> None:
    site.receipts.chain.clear()
    said = run("release", "smoke", "shop", "--env", "staging")
    assert (said.code, said.err.splitlines()[-1].endswith("First: controlplane release stage shop --manifest NAME")) == (4, True), said


def test_an_interruption_ends_with_130_and_says_where_that_shows(run: Run, site: ReleaseSite) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    site.tests.during = stop
    said = run("release", "smoke", "shop", "--env", "staging")
    assert (said.code, said.err.splitlines()[-1].startswith("Interrupted. What was begun is on record. Next: controlplane runs list")) == (130, True)
    listed = run("runs", "list").out.splitlines()
    assert listed[-2].startswith("interrupted  ")
    assert listed[-1] == "             next: prove it again: controlplane release smoke shop --env staging"


def test_a_recertification_that_is_green_names_each_command(run: Run, site: ReleaseSite) -> None:
    said = run("release", "recert", "shop", "--manifest", "r2")
    assert (said.code, said.out.splitlines()) == (
        0,
        [
            "passed   typecheck  0.5 s",
            "passed   state  0.5 s",
            "2 of 2 commands ended well: manifest r2 of shop is certified.",
            f"receipt  {site.receipts.chain[-1].key}",
            "next     controlplane release promote shop --dry-run    (shows the gate)",
        ],
    )
    assert said.err.splitlines() == ["typecheck: true", "state: controlplane doctor"]
    data = run("release", "recert", "shop", "--manifest", "r2", "-o", "json").json()
    assert (data["receipt"], data["passed"], data["commit"]) == (site.receipts.chain[-1].key, True, manifest(2).commit)


@pytest.mark.parametrize(("ended", "code", "told"), [(3, 1, "failed   state  0.5 s, exit code 3"), (None, 5, "error    state  0.5 s")])
def test_a_command_that_did_not_end_well_shows_what_it_said(run: Run, site: ReleaseSite, ended: Any, code: int, told: str) -> None:
    site.commands.ends = {"state": ended}
    said = run("release", "recert", "shop", "--manifest", "r2")
    assert (said.code, said.out.splitlines()[1:5]) == (
        code,
        [told, "         $ controlplane doctor", "         as it said", "1 of 2 commands ended well: manifest r2 of shop is not certified."],
    )
    assert said.out.splitlines()[-1] == "next     mend what failed, then: controlplane release recert shop --manifest r2"


def test_both_runs_stand_in_the_lists_of_receipts(run: Run, site: ReleaseSite) -> None:
    run("release", "smoke", "shop", "--env", "staging")
    run("release", "recert", "shop", "--manifest", "r1")
    lines = [line.split() for line in run("receipts", "list").out.splitlines()[-4:]]
    keys = [site.receipts.chain[-4].key, site.receipts.chain[-2].key]
    assert [(words[2], *words[3:-1], words[-1]) for words in lines] == [
        ("intent", "*", keys[0]),
        ("result", "done", "*", keys[0]),
        ("intent", "*", keys[1]),
        ("result", "done", "*", keys[1]),
    ]
    rows = run("runs", "list", "-o", "json").json()
    assert [(row["capability"], row["state"], row["next"]) for row in rows[-2:]] == [
        ("release.smoke", "done", "nothing"),
        ("release.recert", "done", "nothing"),
    ]
