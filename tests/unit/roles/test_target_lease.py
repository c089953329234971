"""The target's lease: one run at a time, and a token that only grows and that a play carries with it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import lease, leg_verbs, verbs
from controlplane_target.faults import RefusedFault
from controlplane_target.lease import Claim, claim_of
from controlplane_target.state import Home

PACKAGE = Path(lease.__file__).parent
NOW = 1_767_225_600.0


def never(_unit: str) -> bool:
    return False


def take(home: Home, run: str, holder: str = "ann@desk", now: float = NOW, **more: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"role": "docker_data_root", "ttl_s": 600, "host": "mint-data", "unit_active": never, **more}
    return lease.take(home, run, holder, now=now, **options)


def check(home: Home, claim: Claim, now: float = NOW + 1) -> dict[str, Any]:
    return lease.check(home, claim, now=now, host="mint-data", ttl_s=60)


def release(home: Home, claim: Claim, unit_active: lease.UnitActive = never, **more: float) -> bool:
    return lease.release(home, claim, unit_active=unit_active, **more)


def everything(home: Home) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(home.base.rglob("*")) if path.is_file() and not path.name.endswith(".lock")}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "controlplane")


def test_a_free_lease_is_taken_and_its_token_noted_in_the_journal(home: Home) -> None:
    held = take(home, "R1")
    assert held == {"token": 1, "holder": "ann@desk", "run": "R1", "taken_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T00:10:00Z"}
    state = home.run("R1").state
    assert (state["token"], state["role"], state["phase"]) == (1, "docker_data_root", "prepared")
    assert check(home, claim_of(held)) == held


def test_another_run_is_refused_by_host_holder_run_and_since_when_and_nothing_changes(home: Home) -> None:
    take(home, "R1")
    before = everything(home)
    with pytest.raises(RefusedFault) as fault:
        take(home, "R2", "bob@lap", NOW + 300)
    assert str(fault.value).startswith(
        "mint-data is leased to run R1 by ann@desk since 2026-01-01T00:00:00Z, until 2026-01-01T00:10:00Z. Nothing was changed. Wait for it"
    )
    assert everything(home) == before


def test_the_same_run_from_another_controller_is_refused(home: Home) -> None:
    take(home, "R1")
    with pytest.raises(RefusedFault, match="leased to run R1 by ann@desk"):
        take(home, "R1", "bob@lap")


def test_the_same_holder_takes_it_again_at_once_under_a_new_token(home: Home) -> None:
    take(home, "R1")
    again = take(home, "R1", now=NOW + 500)
    assert (again["token"], again["taken_at"], again["expires_at"]) == (2, "2026-01-01T00:08:20Z", "2026-01-01T00:18:20Z")


@pytest.mark.parametrize(("second", "later"), [("bob@lap", 600), ("ann@desk", 60)], ids=["another controller", "the same one's twin"])
def test_a_controller_that_was_paused_while_another_went_on_with_its_run_is_refused_and_releases_nothing(
    home: Home, second: str, later: float
) -> None:
    paused = claim_of(take(home, "R1"))
    resumed = take(home, "R1", second, NOW + later)
    before = everything(home)
    with pytest.raises(RefusedFault) as fault:
        check(home, paused, NOW + later + 1)
    assert str(fault.value) == (
        f"mint-data is leased to run R1 by {second} since {resumed['taken_at']}, until {resumed['expires_at']}; "
        "run R1 carries token 1, the host's is 2. Nothing was changed. Let that run finish, then run this one again."
    )
    with pytest.raises(RefusedFault), lease.holding(home, paused, now=NOW + later + 1, host="mint-data"):
        pytest.fail("it changed something")
    assert not release(home, paused)
    assert everything(home) == before
    assert check(home, claim_of(resumed), NOW + later + 1)["token"] == 2


@pytest.mark.parametrize("claim", [Claim("R2", "ann@desk", 1), Claim("R1", "bob@lap", 1), Claim("R1", "ann@desk", 0), Claim("R1", "ann@desk", 2)])
def test_a_lease_is_checked_and_released_by_its_run_holder_and_token_together(home: Home, claim: Claim) -> None:
    take(home, "R1")
    with pytest.raises(RefusedFault, match="mint-data is leased to run R1 by ann@desk"):
        check(home, claim)
    assert not release(home, claim)
    assert lease.show(home) is not None


def test_an_expired_lease_is_taken_over_with_a_higher_token_and_the_old_one_refused_from_then_on(home: Home) -> None:
    old = claim_of(take(home, "R1"))
    assert take(home, "R2", "bob@lap", NOW + 600)["token"] == 2
    with pytest.raises(RefusedFault) as fault:
        check(home, old, NOW + 601)
    assert "run R1 carries token 1, the host's is 2" in str(fault.value)


def test_an_expired_lease_is_not_taken_over_while_its_unit_works(home: Home) -> None:
    take(home, "R1")
    home.run("R1").write(unit="controlplane-x.service")
    before = everything(home)
    with pytest.raises(RefusedFault, match=r"it has expired, but its unit controlplane-x\.service still works here"):
        take(home, "R2", now=NOW + 700, unit_active=lambda unit: unit == "controlplane-x.service")
    assert everything(home) == before


def test_the_lease_that_is_named_is_taken_over_before_its_time_unless_its_unit_works_and_no_other_is(home: Home) -> None:
    old = claim_of(take(home, "R1"))
    home.run("R1").write(unit="controlplane-x.service")
    for named, works, word in (("R1", True, "its unit controlplane-x.service still works here"), ("R3", False, "let it expire")):
        before = everything(home)
        with pytest.raises(RefusedFault, match=word):
            take(home, "R2", take_over=named, unit_active=lambda _unit, works=works: works)
        assert everything(home) == before
    assert take(home, "R2", take_over="R1")["token"] == 2
    with pytest.raises(RefusedFault, match=r"run R1 carries token 1, the host's is 2"):
        check(home, old)


def test_nobody_is_told_to_stop_an_installation(home: Home) -> None:
    take(home, "R1")
    home.run("R1").write(package_unit="controlplane-vm-bootstrap.service")
    with pytest.raises(RefusedFault, match=r"its unit controlplane-vm-bootstrap\.service still works here\. Nothing was changed\. Wait for it\.$"):
        take(home, "R2", take_over="R1", unit_active=lambda _unit: True)


def test_an_older_token_of_the_same_run_is_refused_also_after_another_run_came_between(home: Home) -> None:
    old = claim_of(take(home, "R1"))
    between = claim_of(take(home, "R2", take_over="R1"))
    assert release(home, between)
    assert take(home, "R1")["token"] == 3
    with pytest.raises(RefusedFault, match=r"run R1 carries token 1, the host's is 3"):
        check(home, old)


def test_a_release_keeps_the_token_growing(home: Home) -> None:
    mine = claim_of(take(home, "R1"))
    assert release(home, mine)
    assert not release(home, mine)
    assert lease.show(home) is None
    assert take(home, "R2")["token"] == 2


def test_a_run_without_the_lease_is_refused(home: Home) -> None:
    with pytest.raises(RefusedFault, match="leased to nobody"):
        check(home, Claim("R1", "ann@desk", 1))


def test_a_lease_is_kept_while_its_runs_unit_works(home: Home) -> None:
    mine = claim_of(take(home, "R1"))
    home.run("R1").write(unit="controlplane-x.service")
    assert not release(home, mine, lambda unit: unit == "controlplane-x.service")
    assert check(home, mine)["token"] == 1
    assert release(home, mine)


def test_a_unit_goes_on_for_the_controller_that_came_after_the_one_that_began_it(home: Home) -> None:
    take(home, "R1")
    assert lease.is_of_run(home, "R1")
    resumed = claim_of(take(home, "R1", "bob@lap", NOW + 600))
    assert lease.is_of_run(home, "R1")
    release(home, resumed)
    assert not lease.is_of_run(home, "R1")
    take(home, "R2")
    assert not lease.is_of_run(home, "R1")


def test_nobody_else_gets_the_lease_and_nobody_gives_it_back_while_a_change_works_under_it(home: Home) -> None:
    mine = claim_of(take(home, "R1"))
    with lease.holding(home, mine, now=NOW + 1, host="mint-data", ttl_s=60):
        before = everything(home)
        for later, more in ((700, {}), (1, {"take_over": "R1"})):
            with pytest.raises(RefusedFault) as fault:
                take(home, "R2", "bob@lap", NOW + later, **more)
            assert str(fault.value).endswith("but a change that began before still works here. Nothing was changed. Wait for it.")
        assert not release(home, mine, wait_s=0)
        assert everything(home) == before


def test_the_same_run_waits_for_the_end_of_what_a_lost_connection_left(home: Home) -> None:
    left = claim_of(take(home, "R1"))
    with lease.holding(home, left, now=NOW + 1, host="mint-data"):
        with pytest.raises(RefusedFault, match=r"but a change that began before still works here\. Nothing was changed\."):
            take(home, "R1", wait_s=0.1)
        assert check(home, left)["token"] == 1

    ends = time.monotonic() + 0.3
    with ThreadPoolExecutor() as pool:
        change = pool.submit(_change_until, home, left, ends)
        _until_something_changes(home)
        resumed = pool.submit(take, home, "R1").result()
        assert time.monotonic() >= ends
        change.result()
    assert resumed["token"] == left.token + 1


def test_a_cancelled_play_gives_the_lease_back_when_its_last_change_has_ended(home: Home) -> None:
    mine, ends = claim_of(take(home, "R1")), time.monotonic() + 0.3
    with ThreadPoolExecutor() as pool:
        change = pool.submit(_change_until, home, mine, ends)
        _until_something_changes(home)
        assert release(home, mine)
        assert time.monotonic() >= ends
        change.result()
    assert lease.show(home) is None


def _change_until(home: Home, claim: Claim, ends: float) -> None:
    with lease.holding(home, claim, now=NOW + 1, host="mint-data"):
        while time.monotonic() < ends:
            time.sleep(0.05)


def _until_something_changes(home: Home) -> None:
    while True:
        with home.quiet() as quiet:
            if not quiet:
                return
        time.sleep(0.01)


def test_two_changes_of_one_play_may_work_at_the_same_time(home: Home) -> None:
    mine = claim_of(take(home, "R1"))
    with lease.holding(home, mine, now=NOW, host="mint-data"), lease.holding(home, mine, now=NOW, host="mint-data"):
        pass


def _tool(home: Home, *words: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run([sys.executable, "-B", str(PACKAGE), "--base", str(home.base), *words], capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[0]) if done.stdout.startswith("{") else {}, done.stderr


def test_a_command_under_the_lease_keeps_its_words_output_and_exit_code_and_without_the_lease_never_starts(home: Home, tmp_path: Path) -> None:
    taken = _tool(home, "lease", "take", "--run", "R1", "--holder", "ann@desk", "--role", "data_disk")[1]["lease"]
    mark, tool = tmp_path / "mark", ["lease", "hold", "--run", "R1", "--holder", "ann@desk"]
    command = ["sh", "-c", f'echo "{{\\"said\\": \\"$*\\"}}"; touch {mark}; exit 7', "sh", "--", "--run", "x y"]

    code, said, words = _tool(home, *tool, "--token", str(taken["token"] + 1), "--", *command)
    assert (code, mark.exists()) == (4, False)
    assert said == {"message": words.strip()}
    assert f"run R1 carries token {taken['token'] + 1}, the host's is {taken['token']}. Nothing was changed." in words

    assert _tool(home, *tool, "--token", str(taken["token"]), "--", *command) == (7, {"said": "-- --run x y"}, "")
    assert mark.exists()
    assert _tool(home, *tool, "--token", str(taken["token"]), "--", "/nowhere")[0] == 1


def test_a_command_keeps_the_lock_though_what_holds_the_lease_for_it_is_killed(home: Home, tmp_path: Path) -> None:
    mine = claim_of(take(home, "R1"))
    words = ["--run", mine.run, "--holder", mine.holder, "--token", str(mine.token)]
    go, tool = tmp_path / "go", [sys.executable, "-B", str(PACKAGE), "--base", str(home.base)]
    command = ["sh", "-c", f"echo works; until [ -e {go} ]; do sleep 0.05; done"]
    with subprocess.Popen([*tool, "lease", "hold", *words, "--", *command], stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "works\n"
        keeper.kill()
        keeper.wait()
        with pytest.raises(RefusedFault, match="a change that began before still works here"):
            take(home, "R2", take_over="R1")
        go.touch()
    release(home, mine)
    assert take(home, "R2")["token"] == 2


def test_a_lease_is_renewed_as_long_as_a_command_works_under_it(home: Home) -> None:
    mine = claim_of(_tool(home, "lease", "take", "--run", "R1", "--holder", "ann@desk", "--role", "data_disk", "--ttl", "1")[1]["lease"])
    words = ["--run", mine.run, "--holder", mine.holder, "--token", str(mine.token), "--ttl", "1"]
    place = home.base / "lease.json"
    done = subprocess.run(
        [
            sys.executable,
            "-B",
            str(PACKAGE),
            "--base",
            str(home.base),
            "lease",
            "hold",
            *words,
            "--",
            "sh",
            "-c",
            f"cat {place}; sleep 1.5; cat {place}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    first, last = (json.loads(text) for text in re.findall(r"\{.*?\}", done.stdout, re.DOTALL))
    assert (first["token"], last["token"]) == (mine.token, mine.token)
    assert last["expires_at"] > first["expires_at"]


def test_who_waits_with_a_claim_that_is_over_hears_the_end_and_notes_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_verbs, "active", never)
    paused = claim_of(take(home, "R1"))
    resumed = claim_of(take(home, "R1", "bob@lap", NOW + 600))
    outcome = {"verb": "move", "rc": 0, "message": ""}
    home.run("R1").write(unit="controlplane-x.service", outcome=outcome)
    for claim, unit in ((paused, "controlplane-x.service"), (resumed, None)):
        assert leg_verbs.wait(home.run("R1"), 0, claim) == {"working": False, "phase": "prepared", "outcome": outcome, "changed": False}
        assert home.run("R1").state["unit"] == unit


def test_who_waits_with_a_claim_that_is_over_prolongs_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_verbs, "active", lambda _unit: True)
    paused = claim_of(take(home, "R1"))
    resumed = claim_of(take(home, "R1", "bob@lap", NOW + 600))
    home.run("R1").write(unit="controlplane-x.service")
    before = everything(home)
    assert leg_verbs.wait(home.run("R1"), 0, paused)["working"]
    assert everything(home) == before
    assert leg_verbs.wait(home.run("R1"), 0, resumed)["working"]
    assert everything(home) != before


def test_what_carries_no_token_holds_no_lease(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--base", str(home.base), "lease"]
    assert verbs.main([*words, "take", "--run", "R1", "--holder", "ann@desk", "--role", "data_disk"]) == 0
    assert verbs.main([*words, "hold", "--run", "R1", "--holder", "ann@desk", "--", "touch", str(home.base / "mark")]) == 4
    assert not (home.base / "mark").exists()
    assert verbs.main([*words, "release", "--run", "R1", "--holder", "ann@desk"]) == 0
    assert capsys.readouterr().out.endswith('{"left": null, "released": false}\n')
    assert lease.show(home) is not None


def test_a_journal_keeps_what_another_writer_put_there(home: Home) -> None:
    stale = home.run("R1")
    take(home, "R1")
    stale.write(phase="staging")
    assert (home.run("R1").state["token"], home.run("R1").phase) == (1, "staging")


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "-o", "x" * 201])
def test_a_run_key_that_is_no_file_name_is_refused(home: Home, key: str) -> None:
    with pytest.raises(RefusedFault, match="is no run key"):
        home.run(key)
