"""Commands that certify a release: started without a shell, ended with all that they started, and their last words kept clean."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controlplane.adapters.recert_commands import CommandRunner
from controlplane.domain.releases.smoke import CommandRan
from controlplane.domain.releases.values import Recert

PYTHON = sys.executable
RELEASE = {"manifest": "r1", "commit": "5f1c0d9"}
AT_COMMIT = Path(__file__).parents[3] / "inventory/mint/releases/storefront/at_commit.sh"


def ran(site: Path, *argv: str, hidden: tuple[str, ...] = (), **more: object) -> CommandRan:
    command = Recert.model_validate({"name": "it", "run": argv, **more})
    return CommandRunner(site, grace=0.5).run(command, release=RELEASE, hidden=hidden)


def command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


def test_a_command_is_its_exit_code_and_its_last_words_and_no_shell_reads_it(tmp_path: Path) -> None:
    good = ran(tmp_path, "echo", "$HOME;", "`id`", "*")
    assert (good.name, good.argv, good.code, good.tail) == ("it", ("echo", "$HOME;", "`id`", "*"), 0, "$HOME; `id` *")
    bad = ran(tmp_path, "sh", "-c", "echo to one; echo to the other >&2; exit 3")
    assert (bad.code, sorted(bad.tail.splitlines())) == (3, ["to one", "to the other"])


def test_it_runs_in_the_site_or_in_its_folder_with_the_operators_environment_and_the_site_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules").mkdir()
    monkeypatch.setenv("OF_THE_OPERATOR", "here")
    monkeypatch.setenv("CONTROLPLANE_SITE", "inventory/another")
    show = "import json, os, sys; print(json.dumps([os.getcwd(), dict(os.environ), sys.stdin.read()]))"
    monkeypatch.chdir(tmp_path.parent)
    kept = tmp_path / "env.json"
    text = f"{show.replace('print(', 'open(sys.argv[1], chr(119)).write(')}"
    assert ran(Path(tmp_path.name), PYTHON, "-c", text, str(kept)).code == 0
    where, environment, typed = json.loads(kept.read_text())
    assert (where, typed) == (str(tmp_path), "")
    told = {"CONTROLPLANE_SITE": str(tmp_path), "CONTROLPLANE_RELEASE_MANIFEST": "r1", "CONTROLPLANE_RELEASE_COMMIT": "5f1c0d9"}
    assert environment == {**os.environ, **told} | {name: environment[name] for name in ("LC_CTYPE",) if name in environment}
    assert ran(tmp_path, "pwd", dir="modules").tail == f"{tmp_path}/modules"


def test_the_command_of_the_example_site_tells_another_commit_than_the_manifest_s_and_what_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "module"
    git = ("git", "-c", "user.name=it", "-c", "user.email=it@example.org", "-C", str(module))
    subprocess.run(["git", "init", "--quiet", str(module)], check=True)
    heads = []
    for text in ("one", "two"):
        (module / "code").write_text(text)
        subprocess.run([*git, "add", "code"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", text], check=True)
        heads.append(subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip())

    def asked(commit: str, *folders: Path) -> CommandRan:
        command = Recert.model_validate({"name": "sources", "run": ("sh", str(AT_COMMIT), *map(str, folders))})
        return CommandRunner(tmp_path).run(command, release={"manifest": "r1", "commit": commit}, hidden=())

    assert [asked(commit, module).code for commit in (heads[1], heads[1][:7])] == [0, 0]
    other = asked(heads[0], module)
    assert (other.code, other.tail) == (1, f"{module} is at {heads[1]}, not at {heads[0]}, from which manifest r1 was built")
    assert asked("", module).code not in (0, None)
    assert asked(heads[1], tmp_path).code == 1
    # Nor is it a pass where nobody looked: at no folder, at another repository, or at files that settings leave out.
    assert (asked(heads[1]).code, asked(heads[1]).tail.partition(":")[0]) == (1, "no folder is named, so nobody looked")
    with monkeypatch.context() as shell:
        shell.setenv("GIT_DIR", str(module / ".git"))
        shell.setenv("GIT_WORK_TREE", str(module))
        assert asked(heads[1], tmp_path).code == 1
    subprocess.run([*git, "config", "status.showUntrackedFiles", "no"], check=True)
    (module / "new").write_text("three")
    assert (asked(heads[1], module).code, asked(heads[1], module).tail.splitlines()[1:]) == (1, ["?? new"])
    (module / "new").unlink()
    assert asked(heads[1], module).code == 0
    (module / "code").write_text("three")
    assert asked(heads[1], module).code == 1


def test_the_first_word_controlplane_is_this_very_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "controlplane"
    fake.write_text("#!/bin/sh\necho another program\n")
    fake.chmod(0o755)
    (tmp_path / "controlplane.py").write_text("print('a file of the site')\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = ran(tmp_path, "controlplane", "--version")
    assert (found.code, found.argv, found.tail.startswith("controlplane, version ")) == (0, ("controlplane", "--version"), True), found


def test_what_can_not_be_started_has_no_exit_code_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo no\n")
    told = {
        ("no-such-program-here",): "it can't be started: No such file or directory: no-such-program-here",
        ("./script",): "it can't be started: Permission denied: ./script",
    }
    assert {argv: ran(tmp_path, *argv) for argv in told}.keys() == told.keys()
    assert {argv: (found.code, found.tail) for argv in told if (found := ran(tmp_path, *argv))} == {argv: (None, why) for argv, why in told.items()}
    away = ran(tmp_path, "true", dir="modules")
    assert (away.code, away.tail) == (None, f"it can't be started: No such file or directory: {tmp_path}/modules")


def test_at_its_limit_it_ends_with_all_that_it_started_and_keeps_what_it_said(tmp_path: Path) -> None:
    began = time.monotonic()
    found = ran(tmp_path, "sh", "-c", "echo begun; trap '' TERM; sleep 64.1 & setsid sleep 64.2 & wait; sleep 64.3", within=1)
    assert (found.code, found.tail) == (None, "begun\nit was ended after 1 s, its limit")
    assert time.monotonic() - began < 15
    assert not any(b"sleep\x0064." in line for line in command_lines())


def test_what_it_leaves_behind_ends_with_it_and_does_not_hold_its_end_up(tmp_path: Path) -> None:
    began = time.monotonic()
    found = ran(tmp_path, "sh", "-c", "sleep 65.1 & echo done")
    assert (found.code, found.tail) == (0, "done")
    assert time.monotonic() - began < 15
    assert not any(b"sleep\x0065.1" in line for line in command_lines())


def test_one_that_somebody_kills_has_no_exit_code(tmp_path: Path) -> None:
    found = ran(tmp_path, "sh", "-c", "kill -9 $$")
    assert (found.code, found.tail) == (None, "it was ended by signal 9")


def test_its_last_words_are_twenty_lines_without_what_acts_on_a_terminal(tmp_path: Path) -> None:
    text = (
        "import sys\nprint('x' * 300_000)\nprint('\\n'.join(f'line {n}' for n in range(30)))\n"
        "print('\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07end\\x08\\x00 \\u202e.')\nprint(' 10%\\r 50%\\r100%\\r')\nprint()\nprint('y' * 1000)\n"
        "sys.stdout.flush(); sys.stdout.buffer.write(b'bad \\xff byte')\n"
    )
    (tmp_path / "talk.py").write_text(text)
    lines = ran(tmp_path, PYTHON, "talk.py").tail.split("\n")
    assert lines == [*(f"line {n}" for n in range(14, 30)), "red end .", "100%", "y" * 300, "bad \ufffd byte"]


def test_no_secret_is_in_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_TOKEN", "a-token-of-the-shell")
    found = ran(tmp_path, "sh", "-c", 'echo "login with Kanarienvogel-77 and $NPM_TOKEN"', hidden=("Kanarienvogel-77",))
    assert found.tail == "login with *** and ***"
    half = "import sys; sys.stdout.write('x' * (64 * 1024) + 'Kanarienvogel-77' * 4000 + chr(10) + 'end')"
    assert ran(tmp_path, PYTHON, "-c", half, hidden=("Kanarienvogel-77",)).tail == "end"


def test_an_interruption_ends_it_and_what_it_started(tmp_path: Path) -> None:
    program = (
        "import signal, sys\nfrom pathlib import Path\nfrom controlplane.adapters.recert_commands import CommandRunner\n"
        "from controlplane.domain.releases.values import Recert\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "CommandRunner(Path(sys.argv[1])).run(Recert(name='it', run=('sh', '-c', 'sleep 66.1 & sleep 66.2')), release={}, hidden=())\n"
    )
    process = subprocess.Popen([PYTHON, "-c", program, str(tmp_path)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(b"sleep\x0066.2" in line for line in command_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert said.decode().splitlines()[-1] == "KeyboardInterrupt"
    # What was killed may take a moment to be gone from a busy machine.
    while left := [line for line in command_lines() if b"sleep\x0066." in line]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
