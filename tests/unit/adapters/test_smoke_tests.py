"""Smoke tests of a release, run for real in a process of their own: only what ran and passed counts, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controlplane.adapters.smoke_tests import PytestSmokeRunner
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.releases.values import Smoke

pytestmark = pytest.mark.slow

HERE = InventoryHost(name="here", variables={"ansible_connection": "local"})
NOWHERE = InventoryHost(name="nowhere", variables={"ansible_host": "127.0.0.1", "ansible_port": 1})
RELEASE = {"stack": "shop", "environment": "staging", "manifest": "r2"}
SECRET = "Kanarienvogel-77ab01"
ENDINGS = """
import pytest, urllib.request

def test_passes():
    assert True

def test_fails():
    assert 200 == 422, "an invalid intake was taken: 200\\nand this is for a developer"

def test_fails_without_a_word():
    assert [] == [1]

def test_breaks():
    {}["seed"]

@pytest.mark.skip(reason="not today")
def test_is_skipped():
    pass

def test_skips_itself():
    pytest.skip("no token")

@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail():
    assert False

@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail_and_passes():
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_is_expected_to_fail_strictly_and_passes():
    pass

@pytest.fixture
def broken():
    raise OSError("no such thing")

def test_can_not_be_set_up(broken):
    pass

@pytest.fixture
def untidy():
    yield
    raise OSError("could not tidy up")

def test_can_not_be_tidied_up(untidy):
    pass

def test_says_its_answer_instead_of_asserting_it():
    return 1 == 2

@pytest.mark.parametrize("case", [])
def test_without_a_case(case):
    pass

def test_with_parts(subtests):
    with subtests.test("one"):
        pytest.skip("not this one")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "releases" / "shop" / "smoke").mkdir(parents=True)
    return tmp_path


def ran(site: Path, *hosts: InventoryHost, within: int = 60, hidden: tuple[str, ...] = (), **texts: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Write each text as test_NAME.py, run them all, and return {(test, host): (outcome, reason)}."""
    for name, text in texts.items():
        (site / "releases" / "shop" / "smoke" / f"test_{name}.py").write_text(text)
    smoke = Smoke(files=tuple(f"shop/smoke/test_{name}.py" for name in texts), urls={"intake": "http://127.0.0.1:9"}, within=within)
    found = PytestSmokeRunner(site).run(smoke, hosts, release=RELEASE, hidden=hidden, progress=told.append)
    return {(one.name, one.host): (one.outcome, one.reason) for one in found}


told: list[str] = []


def command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


def test_only_what_ran_and_passed_is_passed_and_nothing_is_left_in_the_site(site: Path) -> None:
    (site / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    before = set(site.rglob("*"))
    found = {name.removeprefix("test_flow.py::test_"): ended for (name, _), ended in ran(site, flow=ENDINGS).items()}
    words = found.pop("says_its_answer_instead_of_asserting_it")
    assert found == {
        "passes": ("passed", ""),
        "fails": ("failed", "an invalid intake was taken: 200"),
        "fails_without_a_word": ("failed", "assert [] == [1]"),
        "breaks": ("failed", "KeyError: 'seed'"),
        "is_skipped": ("skipped", "not today"),
        "skips_itself": ("skipped", "no token"),
        "is_expected_to_fail": ("skipped", "expected to fail: known"),
        "is_expected_to_fail_and_passes": ("skipped", "expected to fail, and passed: known"),
        "is_expected_to_fail_strictly_and_passes": ("failed", "[XPASS(strict)] known"),
        "can_not_be_set_up": ("error", "OSError: no such thing"),
        "can_not_be_tidied_up": ("error", "OSError: could not tidy up"),
        "without_a_case[NOTSET]": ("skipped", found["without_a_case[NOTSET]"][1]),
        "with_parts": ("skipped", "not this one"),
    }
    assert (words[0], words[1].startswith("PytestReturnNotNoneWarning: ")) == ("failed", True), words
    assert set(site.rglob("*")) - before == {site / "releases" / "shop" / "smoke" / "test_flow.py"}
    assert "  test_flow.py::test_skips_itself: skipped" in told


def test_a_test_is_given_the_addresses_the_release_and_each_host(site: Path) -> None:
    text = (
        "def test_it(urls, environment, release, host):\n"
        "    assert urls == {'intake': 'http://127.0.0.1:9'}\n"
        "    assert environment == 'staging'\n"
        "    assert release == {'stack': 'shop', 'environment': 'staging', 'manifest': 'r2'}\n"
        "    assert host.check_output('echo it').strip() == 'it'\n"
    )
    found = ran(site, HERE, NOWHERE, flow=text)
    assert found["test_flow.py::test_it", "here"] == ("passed", "")
    outcome, reason = found["test_flow.py::test_it", "nowhere"]
    assert (outcome, "Connection refused" in reason) == ("error", True), reason


def test_files_of_one_name_in_two_folders_are_told_apart(site: Path) -> None:
    other = site / "releases" / "more"
    other.mkdir()
    for folder in (other, site / "releases" / "shop"):
        (folder / "test_a.py").write_text("def test_it(): pass\n")
    smoke = Smoke(files=("shop/test_a.py", str(other / "test_a.py")))
    found = PytestSmokeRunner(site).run(smoke, (), release=RELEASE, hidden=(), progress=lambda _: None)
    # pytest itself takes no second module of one name, and says so.
    assert (found[0].name, found[0].outcome) == ("more/test_a.py", "error")
    assert not any(one.outcome == "passed" for one in found)


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (
            {"a": "def test_it(): pass\n", "b": "", "c": "import pytest\npytest.skip('not here', allow_module_level=True)\n"},
            {"test_a.py::test_it": ("passed", ""), "test_b.py": ("error", "holds no test"), "test_c.py": ("skipped", "not here")},
        ),
        ({"a": ""}, {"test_a.py": ("error", "holds no test")}),
        (
            {
                "a": "import nothing_of_that_name\n",
                "b": "def test_it(): pass\n",
                "c": "def test_it(:\n",
                "d": "class TestIt:\n    def __init__(self): pass\n    def test_it(self): pass\n",
            },
            {
                "test_a.py": ("error", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
                "test_b.py::test_it": ("error", "was not run: another file can't be read"),
                "test_c.py": ("error", "SyntaxError: invalid syntax"),
                "test_d.py::TestIt": (
                    "error",
                    "pytest.PytestCollectionWarning: cannot collect test class 'TestIt' because it has a __init__ constructor",
                ),
            },
        ),
    ],
)
def test_a_file_that_can_not_be_read_or_holds_no_test_is_an_error(site: Path, texts: dict[str, str], wanted: dict[str, tuple[str, str]]) -> None:
    found = {name: ended for (name, _), ended in ran(site, **texts).items()}
    assert found.keys() == wanted.keys(), found
    assert {name: (outcome, reason[: len(wanted[name][1])]) for name, (outcome, reason) in found.items()} == wanted


def test_a_file_that_is_not_there_is_an_error(site: Path) -> None:
    smoke = Smoke(files=("shop/smoke/test_gone.py",))
    [found] = PytestSmokeRunner(site).run(smoke, (), release=RELEASE, hidden=(), progress=lambda _: None)
    assert (found.name, found.outcome, "file or directory not found" in found.reason) == ("test_gone.py", "error", True), found


def test_a_test_that_is_left_out_is_none(site: Path) -> None:
    (site / "releases" / "shop" / "conftest.py").write_text("def pytest_collection_modifyitems(items):\n    del items[1:]\n")
    found = ran(site, flow="def test_a(): pass\ndef test_b(): pass\n")
    assert found == {("test_flow.py::test_a", ""): ("passed", ""), ("test_flow.py::test_b", ""): ("error", "was not run: it was left out")}


def test_a_conftest_above_releases_and_the_operators_shell_leave_nothing_out(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "conftest.py").write_text("raise RuntimeError('not ours')\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    assert ran(site, flow="def test_a(): pass\n") == {("test_flow.py::test_a", ""): ("passed", "")}


def test_no_variable_of_the_operators_shell_makes_a_failure_pass(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = site / "releases" / "shop" / "smoke" / "asking.py"
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(site.parent / f"{site.name}-compiled"))
    # Compiled there by a text of then, and kept whatever the file says now.
    for text in ("def expect(status): pass\n", "def expect(status):\n    assert status == 422, f'answered {status}'\n"):
        asking.write_text(text)
        if "pass" in text:
            compiled = "import py_compile, sys; py_compile.compile(sys.argv[1], invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
            for optimize in ("0", "1"):
                subprocess.run([sys.executable, "-c", compiled, str(asking)], env={**os.environ, "PYTHONOPTIMIZE": optimize}, check=True)
    tests = (
        "import warnings\nfrom asking import expect\n"
        "def test_by_a_module_beside_it():\n    expect(200)\n"
        "def test_by_a_warning():\n"
        "    with warnings.catch_warnings(record=True) as said:\n        warnings.warn('an old answer', UserWarning)\n"
        "    assert not said, str(said[0].message)\n"
    )
    found = {name.removeprefix("test_flow.py::test_"): ended for (name, _), ended in ran(site, flow=tests).items()}
    assert found == {"by_a_module_beside_it": ("failed", "answered 200"), "by_a_warning": ("failed", "an old answer")}


def test_what_did_not_end_in_time_is_none_and_what_it_started_ends_with_it(site: Path) -> None:
    text = (
        "import subprocess, time\n"
        "def test_a(): pass\n"
        "def test_b():\n    subprocess.Popen(['sleep', '61.3'], start_new_session=True)\n    time.sleep(60)\n"
        "def test_c(): pass\n"
    )
    began = time.monotonic()
    found = ran(site, within=5, flow=text)
    assert found == {
        ("test_flow.py::test_a", ""): ("passed", ""),
        ("test_flow.py::test_b", ""): ("error", "did not end: the time of 5 s for all tests was over"),
        ("test_flow.py::test_c", ""): ("error", "was not run: the time of 5 s for all tests was over"),
    }
    assert time.monotonic() - began < 20
    assert not any(b"sleep\x0061.3" in line for line in command_lines())


def test_a_run_whose_tests_passed_and_whose_process_does_not_end_is_no_pass(site: Path) -> None:
    text = "import threading, time\ndef test_a():\n    threading.Thread(target=time.sleep, args=(60,)).start()\n"
    found = ran(site, within=5, flow=text)
    assert found["test_flow.py", ""] == ("error", "did not end: the time of 5 s for all tests was over")


def test_a_child_that_stays_is_ended_and_tells_nothing_of_its_own(site: Path) -> None:
    """One that leaves its parent, its session and its group, and one that a fork lets go on with the tests."""
    text = (
        "import os, subprocess, sys\n"
        "def test_a():\n"
        '    leave = \'import os, subprocess; os.setsid(); subprocess.Popen(["sleep", "62.1"], start_new_session=True)\'\n'
        "    subprocess.run([sys.executable, '-c', leave], check=True)\n"
        "def test_b():\n"
        "    if os.fork():\n"
        "        return\n"
        "    assert False, 'the child says so'\n"
        "def test_c(): pass\n"
    )
    found = ran(site, flow=text)
    assert found == {(f"test_flow.py::test_{name}", ""): ("passed", "") for name in "abc"}
    assert not any(b"sleep\x0062.1" in line for line in command_lines())


def test_a_process_that_goes_down_leaves_no_pass_behind(site: Path) -> None:
    text = "import os\ndef test_a(): pass\ndef test_b():\n    os._exit(0)\ndef test_c(): pass\n"
    assert ran(site, flow=text) == {
        ("test_flow.py::test_a", ""): ("passed", ""),
        ("test_flow.py::test_b", ""): ("error", "did not end: pytest ended while it ran (0)"),
        ("test_flow.py::test_c", ""): ("error", "was not run: pytest ended before (0)"),
    }
    last = "import os\ndef test_a(): pass\n\ndef teardown_module():\n    os._exit(0)\n"
    [found] = ran(site, flow=last).values()
    assert found[0] == "error"


def test_no_value_of_an_environment_is_in_what_is_told(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUOTE_API_TOKEN", "a-token-of-the-shell")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "quote-page")
    text = (
        "import os, pytest\n"
        f"SECRET = '{SECRET}'\n"
        "def test_message():\n    assert 0, f'quote-page took {SECRET} and ' + os.environ['QUOTE_API_TOKEN']\n"
        "def test_comparison():\n    assert {'password': SECRET} == {}\n"
        "def test_long_comparison():\n    assert SECRET * 40 == 'x'\n"
        "def test_exception():\n    raise RuntimeError(f'http://x/?password={SECRET}')\n"
        "@pytest.mark.parametrize('case', [SECRET])\ndef test_case(case):\n    pytest.skip(case)\n"
        "def test_cut():\n    assert 0, 'x' * 290 + ' ' + SECRET\n"
        "def test_said():\n    print(SECRET)\n    assert 1\n"
    )
    told.clear()
    found = ran(site, hidden=(SECRET,), flow=text)
    assert found["test_flow.py::test_message", ""] == ("failed", "quote-page took *** and ***")
    assert found["test_flow.py::test_case[***]", ""] == ("skipped", "***")
    assert found["test_flow.py::test_exception", ""] == ("failed", "RuntimeError: http://x/?password=***")
    assert len(told) == 7
    for shown in (str(found), str(told)):
        assert not any(SECRET[start : start + 8] in shown for start in range(len(SECRET) - 8)), shown
    broken = str(ran(site, hidden=(SECRET,), flow=f"raise RuntimeError('{SECRET}')\n"))
    assert ("RuntimeError: ***" in broken, SECRET in broken) == (True, False), broken
    gone = str(ran(site, hidden=(SECRET,), flow=f"import os\nprint('{SECRET}', flush=True)\nos.write(2, b'{SECRET}')\nos._exit(3)\n"))
    assert ("was not run to its end (pytest 3)" in gone, SECRET in gone) == (True, False), gone


def test_an_interruption_ends_the_tests_and_what_they_started(site: Path) -> None:
    (site / "releases" / "shop" / "smoke" / "test_flow.py").write_text(
        "import subprocess, time\ndef test_a():\n    subprocess.Popen(['sleep', '63.9'], start_new_session=True)\n    time.sleep(60)\n"
    )
    program = (
        "import signal, sys\nfrom pathlib import Path\nfrom controlplane.adapters.smoke_tests import PytestSmokeRunner\n"
        "from controlplane.domain.releases.values import Smoke\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "PytestSmokeRunner(Path(sys.argv[1])).run(Smoke(files=('shop/smoke/test_flow.py',)), (), release={}, hidden=(), progress=print)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(site)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(b"sleep\x0063.9" in line for line in command_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert said.decode().splitlines()[-1] == "KeyboardInterrupt"
    assert not any(b"sleep\x0063.9" in line or os.fsencode(site) in line for line in command_lines())


FLOW = """
import json, urllib.error, urllib.request

def asked(address, body=None):
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data=data, method="GET" if data is None else "POST"), timeout=5) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, None

def test_health_names_its_dependencies(urls):
    status, said = asked(f"{urls['intake']}/health")
    assert status == 200, f"/health says {status}"
    assert set(said.get("dependencies", {})) == {"seeds"}, "/health names no dependency"

def test_an_invalid_intake_gets_422(urls):
    status, _ = asked(f"{urls['intake']}/api/v1/intake/validate", {})
    assert status == 422, f"an invalid intake gets {status}"

def test_an_intake_becomes_a_seed(urls):
    status, made = asked(f"{urls['intake']}/api/v1/intake", {"quote": "q-1"})
    assert status == 201, f"an intake gets {status}"
    assert asked(f"{urls['intake']}/api/v1/seeds/{made['seed']}")[1]["quote"] == "q-1"
"""


class Stub(BaseHTTPRequestHandler):
    """Is healthy, and does nothing else: 200 to everything."""

    def do_GET(self) -> None:
        self.answer(200, {"status": "ok"})

    def do_POST(self) -> None:
        self.do_GET()

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class Real(Stub):
    """Does what it says."""

    def do_GET(self) -> None:
        health = {"status": "ok", "dependencies": {"seeds": "ok"}}
        self.answer(200, health if self.path == "/health" else {"quote": "q-1"})

    def do_POST(self) -> None:
        if self.path.endswith("/validate"):
            self.answer(422, {"errors": ["quote is missing"]})
        else:
            self.answer(201, {"seed": "s-1"})


@contextlib.contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("handler", "wanted"),
    [
        (Real, {}),
        (
            Stub,
            {
                "health_names_its_dependencies": "/health names no dependency",
                "an_invalid_intake_gets_422": "an invalid intake gets 200",
                "an_intake_becomes_a_seed": "an intake gets 200",
            },
        ),
    ],
)
def test_a_healthy_stub_fails_where_the_service_itself_passes(site: Path, handler: type[BaseHTTPRequestHandler], wanted: dict[str, str]) -> None:
    (site / "releases" / "shop" / "smoke" / "test_flow.py").write_text(FLOW)
    with served(handler) as address:
        smoke = Smoke(files=("shop/smoke/test_flow.py",), urls={"intake": address})
        found = PytestSmokeRunner(site).run(smoke, (), release=RELEASE, hidden=(), progress=lambda _: None)
    assert len(found) == 3
    assert {one.name.removeprefix("test_flow.py::test_"): one.reason for one in found if one.outcome == "failed"} == wanted
    assert all(one.outcome in ("passed", "failed") for one in found)
