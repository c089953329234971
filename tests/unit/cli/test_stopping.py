"""What a verb says last when it is interrupted, by whichever signal and wherever."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.adapters.lab.lab import Lab
from controlplane.cli.app import main
from controlplane.cli.stopping import stopping_in_order
from controlplane.domain.errors import InterruptedRunError
from controlplane.usecases.judge_ready import judge_ready
from controlplane.usecases.reboot_hosts import reboot_hosts
from controlplane.usecases.verify_hosts import verify_hosts
from tests.fakes.forked import forked
from tests.fakes.site import OPERATOR, FakeSite

Ended = Callable[..., tuple[int | None, str, str]]

UNCHANGED = "Interrupted. Nothing was changed; run the same command again."


class Waiting:
    """Looks at a machine until somebody ends it."""

    def collect(self, *_: object, **__: object) -> None:
        sys.stdout.write("looking\n")
        sys.stdout.flush()
        # A signal that comes in just before one long sleep is seen after it.
        for _second in range(600):
            time.sleep(0.1)


def begin() -> None:
    # A test run in the background of a shell ignores SIGINT, and so would this.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ended:
    """Return what starts a verb, sends it a signal while it looks at a machine, and returns its exit code, its output and its messages."""

    def call(number: int, *argv: str) -> tuple[int | None, str, str]:
        monkeypatch.setattr(wiring, "evidence_source", lambda *_: Waiting())
        monkeypatch.setattr(sys, "argv", ["controlplane", *argv])
        reading, writing = os.pipe()
        with (tmp_path / "messages").open("w+") as messages, os.fdopen(reading) as output:
            process = forked(begin, stdout=writing, stderr=messages.fileno())
            os.close(writing)
            assert output.readline() == "looking\n"
            assert process.pid is not None
            os.kill(process.pid, number)
            out = output.read()
            process.join(30)
            return process.exitcode, out, (tmp_path / "messages").read_text()

    return call


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_that_ends_a_program_ends_a_verb_with_130_and_a_last_line(ended: Ended, number: int) -> None:
    code, out, err = ended(number, "audit", "--target", "local")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == UNCHANGED
    assert "Traceback" not in err


@pytest.mark.parametrize("verb", [("evidence",), ("verify",), ("policy", "suggest")])
def test_verbs_that_only_look_say_that_nothing_was_changed(ended: Ended, verb: tuple[str, ...]) -> None:
    code, out, err = ended(signal.SIGTERM, *verb, "--target", "local")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == UNCHANGED


def test_a_terminal_that_closes_ends_nothing_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_in_order():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


class StoppedLab(Lab):
    """Is interrupted by whatever is asked of it."""

    def __init__(self) -> None:
        pass

    def _stop(self, *_: object, **__: object) -> None:
        raise KeyboardInterrupt

    up = reset = down = reboot = cut = seed = sentinels = status = _stop  # type: ignore[assignment]  # it returns from none of them


Ending = Callable[..., str]


@pytest.fixture
def last_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ending:
    def call(*argv: str) -> str:
        monkeypatch.setattr(sys, "argv", ["controlplane", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 130
        return capsys.readouterr().err.splitlines()[-1]

    return call


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("up",), "Interrupted. The lab may be half made: the same command goes on, 'controlplane lab down' gives it back."),
        (("reset",), "Interrupted. The lab may be half made: the same command goes on, 'controlplane lab down' gives it back."),
        (("down",), "Interrupted. Some machines may still run: the same command goes on."),
        (("reboot", "db"), "Interrupted. db may still be rebooting. Next: controlplane lab status    (shows when it is up)"),
        (("cut", "db"), "Interrupted. db may still have power or be without it. Next: controlplane lab status"),
        (("seed", "db"), "Interrupted. The stacks may be half started and half filled: the same command goes on."),
        (("sentinels", "db"), UNCHANGED),
        (("status",), UNCHANGED),
    ],
)
def test_the_lab_says_what_goes_on(last_line: Ending, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], said: str) -> None:
    monkeypatch.setattr(wiring, "lab", StoppedLab)
    assert last_line("lab", *argv) == said


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("argv", "broken", "said"),
    [
        (("approve", "plan.json"), "approvals.add", "The approval is there or it is not, nothing else was changed; run the same command again."),
        (("apply", "plan.json"), "receipts.load", "What was begun is on record. Next: controlplane runs list    "),
        (("rollback", "CAP-1"), "receipts.load", "What was begun is on record. Next: controlplane runs list    "),
        (
            ("lease", "take", "mint-data"),
            "evidence.collect",
            "The lease was taken over and given back, or it is as it was. Next: controlplane lease show ",
        ),
        (("verify", "--after-reboot"), "receipts.load", "What was begun is on record. Next: controlplane runs list    "),
        (("ready", "mint-data", "--after-reboot"), "receipts.load", "What was begun is on record. Next: controlplane runs list    "),
        (("ready", "mint-data"), "evidence.collect", "Nothing was changed; run the same command again."),
    ],
)
def test_a_verb_that_may_have_changed_something_says_where_that_shows(
    last_line: Ending, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: tuple[str, ...], broken: str, said: str
) -> None:
    site = FakeSite()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "governed_site", lambda _given: (site.view, site.ports))
    monkeypatch.setattr(wiring, "approvals", lambda _given: site.approvals)
    monkeypatch.setattr(wiring, "receipts", lambda _given: site.receipts)
    wiring.plan_files().write("plan.json", site.plan())
    port, name = broken.split(".")
    monkeypatch.setattr(getattr(site.ports, port), name, stop)
    assert last_line(*argv).startswith(f"Interrupted. {said}")


def test_a_new_folder_that_may_be_half_written_is_named(last_line: Ending, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("controlplane.usecases.init_site.site_template", stop)
    said = f"Interrupted. {tmp_path}/x may hold a part of the new files: remove what is there, then run the same command again."
    assert last_line("init", f"{tmp_path}/x") == said


def test_after_a_reboot_the_last_line_names_who_was_rebooted_and_asks_for_no_other() -> None:
    site = FakeSite(hosts=("a", "b"))
    ports = site.ports
    site.arm(1)
    with pytest.raises(InterruptedRunError) as stopped:
        verify_hosts(site.view, hosts=("a",), clock=ports.clock, evidence=ports.evidence, witness=ports.witness, rebooted=True)
    assert str(stopped.value) == "Interrupted. a was rebooted. Next: controlplane verify --host a    (judges without another reboot)"


def test_after_a_reboot_the_last_line_names_how_to_judge_without_another() -> None:
    site = FakeSite(hosts=("a",))
    # The intent is touched twice, then the host is asked.
    site.arm(3)
    with pytest.raises(InterruptedRunError) as stopped:
        judge_ready("a", site.view, operator=OPERATOR, ports=site.ports, rebooted=True)
    assert str(stopped.value) == "Interrupted. a was rebooted. Next: controlplane ready a    (judges without another reboot)"


def test_between_two_reboots_the_last_line_names_who_is_left() -> None:
    site = FakeSite(hosts=("a", "b"))
    real = site.runner.run

    def armed(*args: object, **more: object) -> object:
        result = real(*args, **more)  # type: ignore[arg-type]
        site.arm(3)  # the receipt is touched twice, then the next host is asked
        return result

    site.runner.run = armed  # type: ignore[method-assign,assignment]  # interrupts while the second host is looked at
    with pytest.raises(InterruptedRunError) as stopped:
        reboot_hosts(site.view, hosts=(), operator=OPERATOR, ports=site.ports, progress=lambda _: None)
    assert str(stopped.value) == "Interrupted. a was rebooted. Next: controlplane verify --after-reboot --host b    (goes on with the others)"
