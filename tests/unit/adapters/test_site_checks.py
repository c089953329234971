"""A site's own checks, run for real in a process of their own: what each ending of a test comes to."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controlplane.adapters.site_checks import PytestSiteChecks
from controlplane.domain.finding import Verdict
from controlplane.domain.gates.values import SiteCheck
from controlplane.domain.inventory import InventoryHost

pytestmark = pytest.mark.slow

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

@pytest.mark.xfail(reason="not yet")
def test_one_that_is_expected_to_fail_and_does():
    assert 1 == 2

@pytest.mark.xfail(reason="not yet")
def test_one_that_is_expected_to_fail_and_does_not():
    pass
"""
LYING = """
import atexit, os, pathlib

def test_a():
    atexit.register(pathlib.Path(os.environ['CONTROLPLANE_CHECKS'], 'outcomes.jsonl').write_text, '[1]')
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


def test_only_what_ran_and_passed_is_met_and_nothing_is_left_in_the_site(site: Path) -> None:
    before = set(site.rglob("*"))
    found = ran(site, ENDINGS)
    assert found == {
        ("site", "check:test_one_that_holds"): (Verdict.MET, "as declared"),
        ("site", "check:test_one_that_does_not"): (Verdict.DRIFTED, "registry/services.yml: quote-page has no owner: name one"),
        ("site", "check:test_one_that_says_nothing"): (Verdict.DRIFTED, "assert [] == [1]"),
        ("site", "check:test_one_that_breaks"): (Verdict.UNKNOWN, "error: 'owner'"),
        ("site", "check:test_one_that_is_skipped"): (Verdict.UNKNOWN, "skipped: not today"),
        ("site", "check:test_one_that_can_not_be_set_up"): (Verdict.UNKNOWN, "error: no such thing"),
        ("site", "check:test_one_that_is_expected_to_fail_and_does"): (Verdict.UNKNOWN, "skipped: expected to fail: not yet"),
        ("site", "check:test_one_that_is_expected_to_fail_and_does_not"): (Verdict.UNKNOWN, "skipped: expected to fail, and passed: not yet"),
    }
    assert set(site.rglob("*")) - before == {site / "checks" / "test_d1.py"}


def test_a_test_that_takes_a_host_is_judged_on_each_and_one_that_is_not_reached_is_unknown(site: Path) -> None:
    found = ran(site, MACHINES, HERE, NOWHERE)
    assert found["here", "check:test_a_machine_has_a_name"] == (Verdict.MET, "as declared")
    verdict, reason = found["nowhere", "check:test_a_machine_has_a_name"]
    assert (verdict, "Connection refused" in reason) == (Verdict.UNKNOWN, True), reason


def test_a_file_that_is_not_run_to_its_end_is_unknown(site: Path) -> None:
    told = {
        "EMPTY": ("", "checks/EMPTY.py was not run to its end (pytest 5)"),
        "IMPORT": ("import nothing_of_that_name\n", "was not run to its end (pytest 2)"),
        "GONE": ("def test_a():\n    import os\n    os._exit(0)\n", "was not run to its end (pytest 0)"),
        "LYING": (LYING, "was not run to its end (pytest 0)"),
        # Judged on each host, of which there is none.
        "HOSTS": (MACHINES, "skipped: "),
    }
    for name, (text, _) in told.items():
        (site / "checks" / f"{name}.py").write_text(text)
    checks = {name: SiteCheck(title="x", file=f"checks/{name}.py") for name in told}
    found = PytestSiteChecks(site).run(checks, ())
    assert [(one.check, one.host, one.verdict) for one in found] == [(name, "site", Verdict.UNKNOWN) for name in told]
    assert [one.reason for one in found if told[one.check][1] not in one.reason] == []


def test_a_file_that_does_not_end_is_unknown_and_what_it_started_ends_with_it(site: Path) -> None:
    text = "import subprocess, time\n\ndef test_a():\n    subprocess.Popen(['sleep', '61.7'])\n    time.sleep(60)\n"
    began = time.monotonic()
    [(verdict, reason)] = ran(site, text, limit_s=2).values()
    assert (verdict, "did not end within 2 s" in reason) == (Verdict.UNKNOWN, True), reason
    assert time.monotonic() - began < 20
    assert not any(b"sleep\x0061.7" in line for line in command_lines())


def test_nothing_of_the_operators_shell_or_of_folders_above_leaves_a_test_out(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.parent / "conftest.py").write_text("raise RuntimeError('not ours')\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k holds --no-such-option")
    cases = "import pytest\n\n@pytest.mark.parametrize('case', ['a', 'b'])\ndef test_it(case, host):\n    assert case == 'a', 'no'\n"
    assert ran(site, f"{cases}\nclass TestMore:\n    def test_it(self):\n        pass\n", HERE) == {
        ("here", "check:test_it[a]"): (Verdict.MET, "as declared"),
        ("here", "check:test_it[b]"): (Verdict.DRIFTED, "no"),
        ("site", "check:TestMore.test_it"): (Verdict.MET, "as declared"),
    }


def test_an_interruption_ends_every_check_that_runs(site: Path) -> None:
    for name in ("d1", "d2"):
        (site / "checks" / f"test_{name}.py").write_text("import subprocess\n\ndef test_a():\n    subprocess.run(['sleep', '61.9'])\n")
    program = (
        "import signal, sys\nfrom pathlib import Path\nfrom controlplane.adapters.site_checks import PytestSiteChecks\n"
        "from controlplane.domain.gates.values import SiteCheck\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "checks = {name: SiteCheck(title='x', file=f'checks/test_{name}.py') for name in ('d1', 'd2')}\n"
        "PytestSiteChecks(Path(sys.argv[1])).run(checks, ())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(site)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while sum(b"sleep\x0061.9" in line for line in command_lines()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert said.decode().splitlines()[-1] == "KeyboardInterrupt"
    assert not any(b"sleep\x0061.9" in line for line in command_lines())


def command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found
