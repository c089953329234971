"""wave as an operator and a script meet it: exit codes, JSON, last lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controlplane import wiring
from controlplane.cli.app import main
from controlplane.domain.errors import UnknownError
from controlplane.domain.waves.record import record_of
from controlplane.domain.windows import Window
from tests.fakes.waves import BOB, MOVE, FakeWaveSite

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeWaveSite:
    made = FakeWaveSite({"W1": MOVE, "W0": {"goal": "look", "mutation": "none", "read_only": ["mint-data"]}}, approval="self")

    @contextmanager
    def governed(_given: str | None) -> Iterator[Any]:
        yield made.site(), made.wave_ports

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "wave_site", governed)
    monkeypatch.setattr(wiring, "governance", lambda _given: (made.governance, ("mint-data",)))
    return made


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def typed(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["controlplane", "wave", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out, shown.err

    return typed


def last(text: str) -> str:
    return text.splitlines()[-1]


def test_the_whole_way_by_exit_codes_and_each_verb_names_the_next(site: FakeWaveSite, call: Call) -> None:
    assert last(call("list")[1]) == "Next: controlplane wave open W1"
    code, out, _ = call("preflight", "W1")
    assert (code, out.splitlines()[0]) == (4, "shut     entry  the plan is approved: there is no plan yet that could be approved")
    code, out, _ = call("open", "W1")
    assert (code, last(out)) == (0, "Next: controlplane wave plan W1")
    code, out, _ = call("plan", "W1", "--out", "plan.json")
    assert (code, last(out)) == (3, "next       controlplane wave approve W1    (nothing was changed so far)")
    assert Path("plan.json").exists()
    code, out, _ = call("approve", "W1")
    assert (code, last(out)) == (0, "Next: controlplane wave run W1")
    assert " at any time by ann@desk, until " in out
    assert "Destructive actions in it: serial DATA0001." in out
    code, out, err = call("run", "W1")
    assert code == 0
    assert last(err) == 'Next: controlplane wave plan W1 --capability storage.purge    (or end it: controlplane wave close W1 --attest "...")'
    code, out, _ = call("status", "W1")
    assert (code, out.splitlines()[0].startswith("W1  changed, held by ann@desk until ")) == (0, True)
    code, out, _ = call("close", "W1", "--attest", "seen", "--deferred", "purge")
    assert (code, out.splitlines()[0].split()[:2]) == (0, ["open", "exit"])
    assert "W1 is closed: 16 met, 2 drifted, 0 waived, 0 unknown." in out
    assert last(call("list")[1]) == "Next: controlplane wave open W0"
    assert site.state() == "closed"


def test_json_goes_alone_to_standard_output_for_every_verb(site: FakeWaveSite, call: Call) -> None:
    def told(*argv: str) -> Any:
        return json.loads(call(*argv, "-o", "json")[1])

    assert [one["wave"] for one in told("list")["waves"]] == ["W1", "W0"]
    assert told("show", "W1")["failure_limit"] == 0
    assert told("brief", "W1")["brief"][0] == "# W1: no data on boot disks"
    assert told("preflight", "W1")["gates"][0]["verdict"] == "DRIFTED"
    assert told("open", "W1")["state"] == "open"
    plan = told("plan", "W1")
    assert told("approve", "W1")["plan"] == plan["plan"]
    assert told("run", "W1")["outcome"] == "done"
    assert record_of(told("status", "W1")["record"]).plans[0].outcome == "done"
    assert told("resume", "W1")["holder"] == "ann@desk"
    closed = told("close", "W1", "--attest", "seen")
    assert (closed["attestation"]["text"], closed["receipt"]) == ("seen", site.receipts.chain[-1].key)
    assert told("open", "W0")["record"]["attempt"] != closed["attempt"]
    assert told("abort", "W0", "--reason", "enough")["state"] == "aborted"


def test_refused_and_unknown_have_their_own_codes_and_change_nothing(site: FakeWaveSite, call: Call) -> None:
    assert call("run", "W1")[::2] == (4, "wave W1 was never opened. Nothing was changed. Open it: controlplane wave open W1\n")
    assert call("open", "W9")[0] == 2
    site.evidence.unreached = {"mint-data": "no route"}
    assert call("open", "W1")[0] == 5
    site.evidence.unreached = {}
    call("open", "W1")
    assert call("open", "W1")[0] == 4
    assert call("close", "W1", "--attest", "x")[0] == 4
    assert call("close", "W1")[0] == 2
    assert call("close", "W1", "--attest", " ")[0] == 2
    assert call("abort", "W1", "--reason", "")[0] == 2
    assert call("plan", "W1", "--capability", "redis.durability")[0] == 2
    site.evidence.unreached = {"mint-data": "no route"}
    assert call("close", "W1", "--attest", "x")[0] == 5
    assert call("plan", "W1")[0] == 5
    assert site.host.ran == []


def test_a_preflight_ends_as_open_would(site: FakeWaveSite, call: Call) -> None:
    assert call("preflight", "W0")[:2] == (0, "")
    site.evidence.unreached = {"mint-data": "no route"}
    code, out, _ = call("preflight", "W0")
    assert (code, out) == (5, "unknown  entry  every host is observed: 1 of 1 hosts could not be observed, limit 0 (mint-data: no route)\n")
    assert call("open", "W0")[0] == 5


def test_a_step_that_fails_is_exit_1_and_says_what_is_next(site: FakeWaveSite, call: Call) -> None:
    site.led()
    site.host.breaks_after = 1
    code, _, err = call("run", "W1")
    assert code == 1
    assert last(err) == 'Next: controlplane wave abort W1 --reason "..."    (every host was carved out)'


def test_a_window_that_ends_is_exit_130_and_the_same_command_goes_on(site: FakeWaveSite, call: Call) -> None:
    site.view = site.view.model_copy(update={"windows": (Window(start="12:00", end="12:01"),)})
    site.led()
    site.clock.time += timedelta(seconds=15)
    code, _, err = call("run", "W1")
    assert (code, last(err)) == (130, "Next: controlplane wave run W1")
    assert "no maintenance window is open" in err


def test_a_run_that_somebody_else_took_over_names_no_command_that_would_touch_it(site: FakeWaveSite, call: Call) -> None:
    site.led()
    real = site.runner.run

    def stopped_past_its_lease(*args: Any, **more: Any) -> Any:
        site.runner.run = real  # type: ignore[method-assign]
        ended = real(*args, **more)
        site.clock.time += timedelta(hours=5)
        site.resume(by=BOB)
        return ended

    site.runner.run = stopped_past_its_lease  # type: ignore[method-assign]
    code, _, err = call("run", "W1")
    assert (code, last(err)) == (130, "Next: controlplane wave status W1")
    assert "wave W1 is no longer what this process took: bob@other took it" in err
    assert "rollback" not in err


def test_a_store_that_goes_away_in_a_run_leaves_its_result_as_it_is(site: FakeWaveSite, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    site.led()
    real = site.runner.run

    def gone(*_args: Any, **_more: Any) -> Any:
        raise UnknownError("the store can't be used. Nothing was changed. Mend that.")

    def ran(*args: Any, **more: Any) -> Any:
        for verb in ("find", "renew", "write", "waves"):
            monkeypatch.setattr(site.store, verb, gone)
        return real(*args, **more)

    monkeypatch.setattr(site.runner, "run", ran)
    code, out, err = call("run", "W1")
    assert (code, last(err)) == (130, "Next: controlplane wave status W1")
    assert "outcome   interrupted" in out
    assert "mint-data/010 ended and its receipt says how, but what followed it did not: the store can't be used. Mend that" in err
    assert (err.count("the store can't be used"), "Nothing was changed" in err) == (1, False)


@pytest.mark.parametrize(
    ("argv", "at"),
    [(("open", "W1"), 1), (("preflight", "W1"), 1), (("plan", "W1"), 1), (("resume", "W1"), 1), (("abort", "W1", "--reason", "r"), 1)],
)
def test_a_verb_that_is_interrupted_says_where_it_shows(site: FakeWaveSite, call: Call, argv: tuple[str, ...], at: int) -> None:
    if argv[0] not in ("open", "preflight"):
        site.open()
    site.arm(at)
    code, _, err = call(*argv)
    assert code == 130
    assert last(err).startswith("Interrupted. What was begun is on record. Next: controlplane wave status W1    ")


def test_a_run_that_is_interrupted_is_gone_on_with(site: FakeWaveSite, call: Call) -> None:
    site.led()
    site.arm(26)
    code, _, err = call("run", "W1")
    assert (code, last(err)) == (130, "Next: controlplane wave run W1")
    site.arm(None)
    assert call("run", "W1")[0] == 0


def test_a_brief_is_the_runbook_of_that_wave(site: FakeWaveSite, call: Call) -> None:
    site.wave(entry=[{"kind": "closed", "wave": "W0"}], outputs=["preflight"])
    site.view = site.view.model_copy(update={"windows": (Window(start="22:00", end="23:00"),)})
    code, out, _ = call("brief", "W1")
    assert code == 0
    assert "Window     next 2026-01-02 22:00 to 2026-01-02 23:00 UTC" in out
    for line in (
        "- another wave is closed: wave W0",
        "- it is a maintenance window",
        "- the plan is approved",
        "- a rollback is prepared before each change",
        "4. controlplane wave approve W1    (whoever approves; bound to the plan, its hosts and the window)",
        "   then 3 to 5 once more: controlplane wave plan W1 --capability storage.purge",
        "   Way back: controlplane rollback RUN    (RUN stands in 'controlplane runs list'; at any time, it asks no window)",
        '6. controlplane wave close W1 --attest "what you attest"',
        "- preflight",
    ):
        assert line in out.splitlines()


def test_the_brief_of_a_wave_that_changes_no_machine_says_what_its_exit_gates_ask_of_a_person(site: FakeWaveSite, call: Call) -> None:
    exits = [
        {"kind": "stable", "checks": ["D235"], "runs": 3, "interval": "12h"},
        {"kind": "linked"},
        {"kind": "decided", "gaps": ["GAP-OP-1", "GAP-OP-2"]},
        {"kind": "promotable", "checks": ["D235", "D236"]},
        {"kind": "promoted", "checks": ["D235", "D236"]},
    ]
    site.wave(mutation="governance", hosts=[], read_only=["mint-data"], capabilities=[], exit=exits)
    _, out, _ = call("brief", "W1")
    lines = out.splitlines()
    assert lines[lines.index("## Commands") + 1 : lines.index("## It has to leave behind") - 1] == [
        "1. controlplane wave preflight W1    (looks; changes nothing)",
        "2. controlplane wave open W1",
        "3. controlplane gates run mint    (until 3 runs in a row passed, each 12h after the one before at least; closing makes one itself)",
        "4. controlplane gaps close GAP    (each that is open of GAP-OP-1, GAP-OP-2: on its runs, or with --accept REASON)",
        "5. controlplane gates promote D235 D236 --host mint-data --out promotion.json    (which runs count; promote, or hold)",
        "6. controlplane approve promotion.json    (whoever approves)",
        "7. controlplane gates promote --apply promotion.json    (then commit gates.yml)",
        '8. controlplane wave close W1 --attest "what you attest"',
    ]


def test_status_without_a_terminal_is_shown_once(site: FakeWaveSite, call: Call) -> None:
    site.led()
    site.host.probes["docker_info"]["root"] = "/var/lib/docker\x1b[2J"
    code, out, _ = call("status", "W1", "--watch")
    assert (code, "\x1b" in out) == (0, False)
    assert last(out) == "Next: controlplane wave run W1"


def test_status_that_is_watched_is_one_document_for_a_program(site: FakeWaveSite, call: Call) -> None:
    site.led()
    code, out, _ = call("status", "W1", "--watch", "-o", "json")
    assert (code, json.loads(out)["wave"]) == (0, "W1")
    assert out == call("status", "W1", "-o", "json")[1]


def test_apply_leaves_a_waves_plan_to_its_wave(site: FakeWaveSite, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "waves").mkdir()
    (tmp_path / "waves/W1.yml").write_text("")
    (tmp_path / "site.yml").write_text("name: lab\n")
    site.view = site.view.model_copy(update={"folder": str(tmp_path)})
    monkeypatch.setattr(wiring, "governed_site", lambda _given: (site.view, site.ports))
    call("open", "W1")
    call("plan", "W1", "--out", "plan.json")
    call("approve", "W1")
    held = site.store.find("W1")
    assert held is not None
    with wiring.coordination(str(tmp_path)) as store:
        taken = store.take("W1", state="planned", mutating=True, holder="ann@desk", record=held.record, now=site.clock.now(), ttl=timedelta(hours=1))
    monkeypatch.setattr(sys, "argv", ["controlplane", "apply", "plan.json", "-o", "json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, site.host.ran) == (4, [])
    with wiring.coordination(str(tmp_path)) as store:
        store.write(taken, state="aborted", record=held.record, now=site.clock.now(), ended=True)
    with pytest.raises(SystemExit) as end:
        main()
    # Nor is it begun elsewhere when the wave is over.
    assert (end.value.code, site.host.ran) == (4, [])


@pytest.mark.parametrize("has_file", [True, False], ids=["its file there", "its file gone"])
def test_apply_leaves_a_host_of_a_wave_to_it_also_with_a_plan_of_its_own(
    site: FakeWaveSite, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, has_file: bool
) -> None:
    (tmp_path / "waves").mkdir()
    if has_file:
        (tmp_path / "waves/W1.yml").write_text("")
    else:
        monkeypatch.setattr(wiring, "receipts", lambda _folder: site.receipts)
    (tmp_path / "site.yml").write_text("name: lab\n")
    site.view = site.view.model_copy(update={"folder": str(tmp_path), "approval": "none"})
    monkeypatch.setattr(wiring, "governed_site", lambda _given: (site.view, site.ports))
    Path("plan.json").write_text(site.plan().model_dump_json())
    call("open", "W1")
    held = site.store.find("W1")
    assert held is not None
    with wiring.coordination(str(tmp_path)) as store:
        store.take("W1", state="open", mutating=True, holder="ann@desk", record=held.record, now=site.clock.now(), ttl=timedelta(hours=1))
    monkeypatch.setattr(sys, "argv", ["controlplane", "apply", "plan.json", "-o", "json"])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    assert (end.value.code, site.host.ran, json.loads(shown.out)["outcome"]) == (4, [], "refused")
    assert "mint-data belongs to wave W1, which changes machines and is not ended (state open, held by ann@desk)" in shown.err
