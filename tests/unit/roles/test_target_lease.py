"""The target's lease: one run at a time, and a token that only grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import lease
from controlplane_target.faults import RefusedFault
from controlplane_target.state import Home

NOW = 1_767_225_600.0


def never(_unit: str) -> bool:
    return False


def take(home: Home, run: str, holder: str = "ann@desk", now: float = NOW, **more: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"role": "docker_data_root", "ttl_s": 600, "host": "mint-data", "unit_active": never, **more}
    return lease.take(home, run, holder, now=now, **options)


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
    assert lease.check(home, "R1", now=NOW + 1, host="mint-data", ttl_s=60)["token"] == 1


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


def test_the_same_holder_renews_with_the_same_token(home: Home) -> None:
    take(home, "R1")
    again = take(home, "R1", now=NOW + 500)
    assert (again["token"], again["expires_at"]) == (1, "2026-01-01T00:18:20Z")


def test_an_expired_lease_is_taken_over_with_a_higher_token_and_the_old_one_refused_from_then_on(home: Home) -> None:
    take(home, "R1")
    assert take(home, "R2", "bob@lap", NOW + 600)["token"] == 2
    with pytest.raises(RefusedFault) as fault:
        lease.check(home, "R1", now=NOW + 601, host="mint-data")
    assert "run R1 carries token 1, the host's is 2" in str(fault.value)


def test_an_expired_lease_is_not_taken_over_while_its_unit_works(home: Home) -> None:
    take(home, "R1")
    home.run("R1").write(unit="controlplane-x.service")
    before = everything(home)
    with pytest.raises(RefusedFault, match=r"it has expired, but its unit controlplane-x\.service still works here"):
        take(home, "R2", now=NOW + 700, unit_active=lambda unit: unit == "controlplane-x.service")
    assert everything(home) == before


def test_the_lease_that_is_named_is_taken_over_before_its_time_unless_its_unit_works_and_no_other_is(home: Home) -> None:
    take(home, "R1")
    home.run("R1").write(unit="controlplane-x.service")
    for named, works, word in (("R1", True, "its unit controlplane-x.service still works here"), ("R3", False, "let it expire")):
        before = everything(home)
        with pytest.raises(RefusedFault, match=word):
            take(home, "R2", take_over=named, unit_active=lambda _unit, works=works: works)
        assert everything(home) == before
    assert take(home, "R2", take_over="R1")["token"] == 2
    with pytest.raises(RefusedFault, match=r"run R1 carries token 1, the host's is 2"):
        lease.check(home, "R1", now=NOW + 1, host="mint-data")


def test_an_older_token_of_the_same_run_is_refused(home: Home) -> None:
    take(home, "R1")
    take(home, "R2", take_over="R1")
    lease.release(home, "R2")
    assert take(home, "R1")["token"] == 3
    home.run("R1").write(token=1)
    with pytest.raises(RefusedFault, match=r"run R1 carries token 1, the host's is 3"):
        lease.check(home, "R1", now=NOW + 1, host="mint-data")


def test_a_release_keeps_the_token_growing(home: Home) -> None:
    take(home, "R1")
    assert lease.release(home, "R1")
    assert not lease.release(home, "R1")
    assert lease.show(home) is None
    assert take(home, "R2")["token"] == 2


def test_a_run_without_the_lease_is_refused(home: Home) -> None:
    with pytest.raises(RefusedFault, match="leased to nobody"):
        lease.check(home, "R1", now=NOW, host="mint-data")


def test_a_journal_keeps_what_another_writer_put_there(home: Home) -> None:
    stale = home.run("R1")
    take(home, "R1")
    stale.write(phase="staging")
    assert (home.run("R1").state["token"], home.run("R1").phase) == (1, "staging")


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "-o", "x" * 201])
def test_a_run_key_that_is_no_file_name_is_refused(home: Home, key: str) -> None:
    with pytest.raises(RefusedFault, match="is no run key"):
        home.run(key)
