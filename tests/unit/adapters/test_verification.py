"""How the second witness reaches a machine: one connection, the pinned key, and the words of the inventory as words."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.verification import TestinfraWitness
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.witness import Answer, Question

Calls = Callable[[], list[list[str]]]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stand in for ssh: write its arguments down, then run the command here; a host called `gone` is not reached."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, subprocess, sys\n"
        f"print(json.dumps(sys.argv[1:]), file=open({str(tmp_path / 'calls')!r}, 'a'))\n"
        "if sys.argv[-2] == 'gone':\n    print('connect to host gone port 22: Connection refused', file=sys.stderr)\n    sys.exit(255)\n"
        "sys.exit(subprocess.run(sys.argv[-1], shell=True).returncode)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def ask(host: str, *argv: str) -> Question:
    return Question(host=host, check="D240", surface="mount:/mnt/data", argv=argv, expect="yes")


def answers(*questions: Question, **variables: Any) -> tuple[Answer, ...]:
    routes = [InventoryHost(name=name, variables=variables) for name in sorted({question.host for question in questions})]
    return TestinfraWitness().answer(routes, questions)


def control_path(call: list[str]) -> str:
    [path] = [word for word in call if word.startswith("ControlPath=")]
    return path


def test_all_questions_of_a_host_share_one_connection_and_two_hosts_share_none(ssh: Calls) -> None:
    told = answers(ask("a", "echo", "yes"), ask("a", "echo", "it's $HOME"), ask("b", "echo", "yes"))

    assert [answer.said for answer in told] == ["yes", "it's $HOME", "yes"]
    calls = ssh()
    assert len(calls) == 2, "one round trip a host"
    assert all("ControlMaster=auto" in call for call in calls)
    paths = {name: {control_path(call) for call in calls if call[-2] == name} for name in ("a", "b")}
    assert [len(each) for each in paths.values()] == [1, 1]
    assert paths["a"] != paths["b"]
    assert max(len(path.removeprefix("ControlPath=")) for each in paths.values() for path in each) < 80


def test_the_host_key_is_checked_before_anything_that_the_inventory_says(ssh: Calls) -> None:
    answers(ask("a", "true"), ansible_host="10.0.0.1", ansible_user="ops", ansible_port=2222, ansible_ssh_common_args="-o ServerAliveInterval=9")

    [call] = ssh()
    assert call[:4] == ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    assert {"User=ops", "Port=2222", "ServerAliveInterval=9"} <= set(call)
    assert call[-2] == "10.0.0.1"


def test_ssh_arguments_of_the_inventory_are_words_and_no_shell_reads_them(ssh: Calls, tmp_path: Path) -> None:
    given = f"-o ProxyCommand='nc $(touch {tmp_path}/ran) %h %p' -o User=`id`;x"
    answers(ask("a", "true"), ansible_ssh_common_args=given)

    [call] = ssh()
    assert [word for word in call if word.startswith(("ProxyCommand=", "User="))] == [f"ProxyCommand=nc $(touch {tmp_path}/ran) %h %p", "User=`id`;x"]
    assert not (tmp_path / "ran").exists()


def test_a_host_that_is_not_reached_and_a_command_that_fails_are_answers_without_words(ssh: Calls) -> None:
    lost, failed = answers(ask("gone", "echo", "yes"), ask("here", "sh", "-c", "echo yes; echo why >&2; exit 3"))

    assert (lost.said, failed.said, failed.error) == (None, None, "rc 3: why")
    assert lost.error == "connect to host gone port 22: Connection refused"
    assert not lost.question.agrees(lost.said)
    assert len(ssh()) == 2


def test_each_question_has_its_own_words_and_code_whatever_the_others_print(ssh: Calls) -> None:
    told = answers(
        ask("a", "printf", "no line end"),
        ask("a", "sh", "-c", "exit 7"),
        ask("a", "sh", "-c", "echo 'two\n lines 0'; echo warning >&2"),
        ask("a", "cat"),
        ask("a", "sh", "-c", "printf '\\377' >&2; echo yes"),
    )

    assert [(answer.said, answer.error) for answer in told] == [
        ("no line end", None),
        (None, "rc 7: "),
        ("two\n lines 0", None),
        ("", None),
        ("yes", None),
    ]
    assert len(ssh()) == 1


def test_many_questions_take_several_round_trips_and_keep_their_order(ssh: Calls) -> None:
    told = answers(*(ask("a", "echo", str(number)) for number in range(95)))

    assert [answer.said for answer in told] == [str(number) for number in range(95)]
    assert len(ssh()) == 3


@pytest.mark.parametrize("number", [1, 7, 8, 11, 12, 13, 40])
def test_questions_that_go_on_side_by_side_keep_to_their_own_words(ssh: Calls, number: int) -> None:
    # More than a pipe holds: a lane that waits for its reader keeps nobody else waiting for ever.
    script = "head -c 100000 /dev/zero | tr '\\0' x; echo $1; echo of $1 >&2; exit $(($1 % 2))"
    told = answers(*(ask("a", "sh", "-c", script, "sh", str(at)) for at in range(number)))

    assert [(answer.said or "")[100000:] or answer.error for answer in told] == [f"rc 1: of {at}" if at % 2 else str(at) for at in range(number)]
    assert len(ssh()) == 1


@pytest.mark.usefixtures("ssh")
def test_one_that_hangs_keeps_only_its_own_lane_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # The first reads what the second writes: one after the other that would take for ever.
    first, second = ask("a", "cat", str(fifo)), ask("a", "sh", "-c", f"echo yes > {fifo}")
    told = answers(first, second, *(ask("a", "echo", str(at)) for at in range(10)))

    assert [answer.said for answer in told] == ["yes", "", *map(str, range(10))]


def test_words_that_would_not_fit_into_one_argument_are_asked_apart(ssh: Calls, tmp_path: Path) -> None:
    (tmp_path / "bin/sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "bin/sudo").chmod(0o755)
    told = answers(*(ask("a", "echo", f"{number}{chr(39) * 300}") for number in range(9)), ansible_become=True, ansible_become_method="sudo")

    assert [answer.said for answer in told] == [f"{number}{chr(39) * 300}" for number in range(9)]
    assert all(len(word) < 128 << 10 for call in ssh() for word in call)


def test_a_terminal_that_makes_one_of_both_streams_keeps_answers_and_errors_apart(ssh: Calls, tmp_path: Path) -> None:
    program = tmp_path / "bin/ssh"
    program.write_text(program.read_text().replace("shell=True)", "shell=True, stderr=subprocess.STDOUT)"))
    told = answers(ask("a", "echo", "yes"), ask("a", "sh", "-c", "echo why >&2; exit 3"), ask("a", "echo", "yes"))

    assert [(answer.said, answer.error) for answer in told] == [("yes", None), (None, "rc 3: why"), ("yes", None)]
    assert len(ssh()) == 1


def test_a_host_that_stops_answering_half_way_confirms_nothing(ssh: Calls) -> None:
    told = answers(ask("a", "echo", "yes"), ask("a", "sh", "-c", "kill -9 $(ps -o ppid= -p $PPID)"), ask("a", "echo", "after"))

    # What was said before is an answer.
    assert [answer.said for answer in told] == ["yes", None, None]
    assert all("did not answer to the end" in str(answer.error) for answer in told[1:])
    assert len(ssh()) == 1


def test_what_several_findings_rest_on_is_asked_once(ssh: Calls, tmp_path: Path) -> None:
    count = ("sh", "-c", f"echo x >> {tmp_path}/asked; echo yes")
    told = answers(ask("a", *count), ask("a", "echo", "no"), ask("a", *count).model_copy(update={"surface": "fstab:/mnt/data"}))

    assert [(answer.question.surface, answer.said) for answer in told] == [
        ("mount:/mnt/data", "yes"),
        ("mount:/mnt/data", "no"),
        ("fstab:/mnt/data", "yes"),
    ]
    assert (tmp_path / "asked").read_text() == "x\n"
    assert len(ssh()) == 1


def test_a_code_that_the_question_names_comes_with_an_answer_and_any_other_with_none(ssh: Calls) -> None:
    nothing = ask("a", "sh", "-c", "exit 1")
    told = answers(nothing, nothing.model_copy(update={"ends": (1,), "expect": ""}), ask("a", "true").model_copy(update={"ends": (1,), "expect": ""}))

    assert [answer.said for answer in told] == [None, "", None]
    assert [answer.question.agrees(answer.said) for answer in told] == [False, True, False]
    assert len(ssh()) == 1


def test_a_connection_that_testinfra_has_no_way_for_is_an_answer_that_says_so() -> None:
    [answer] = answers(ask("a", "true"), ansible_connection="winrm")
    told = "the second witness has no way over connection winrm, only over ssh and local: set ansible_connection of a to one of them in the inventory"
    assert (answer.said, answer.error) == (None, told)


def test_after_an_interruption_a_host_is_asked_nothing_further(ssh: Calls) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    answers(ask("a", "true"))  # what is loaded at the first question is loaded now
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            answers(*(ask("a", "sleep", "0.05", str(number / 1000)) for number in range(60)))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(ssh()) == 2
