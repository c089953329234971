"""How long a service is down is measured from the moment it stops, whoever is killed meanwhile, and Compose is never left to itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import stack_watch
from controlplane_target.faults import FailedFault
from controlplane_target.stack_watch import Watch, carried
from controlplane_target.state import Home, Run


class _Clock:
    """An engine of whose services these are up, and the time that goes on with each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *moments: str) -> None:
        self.moments, self.now = list(moments), 1000.0
        monkeypatch.setattr(stack_watch.time, "time", lambda: self.now)
        monkeypatch.setattr(stack_watch, "_POLL_S", 0)

    def get(self, target: str) -> list[dict[str, Any]]:
        assert "com.docker.compose.project%3Dshop" in target
        self.now += 1
        said = self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]
        words = [word.partition(":") for word in said.split(",") if word]
        return [{"Labels": {"com.docker.compose.service": name}, "State": "running", "Status": f"Up {how and f'({how})'}"} for name, _, how in words]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Home(tmp_path).run("R1")


def watch(clock: _Clock, run: Run) -> Watch:
    return Watch(clock, run, "shop")  # type: ignore[arg-type] # as much of an engine as it asks


def test_a_service_is_down_until_it_is_healthy_and_one_that_stayed_up_is_not(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    clock = _Clock(monkeypatch, "web,db", "web,db", "db", "web:health: starting,db", "web:healthy,db")
    seen = watch(clock, run)
    for _ in range(3):
        seen.look()
    assert run.state["stopped"] == {"web": 1003.0}
    assert seen.close(["web", "db"]) == {"web": 2.0}


def test_one_that_falls_again_counts_from_its_first_fall_and_what_is_new_or_gone_has_no_downtime(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    clock = _Clock(monkeypatch, "web,old", "old", "web,new", "new:unhealthy", "web,new")
    seen = watch(clock, run)
    for _ in range(3):
        seen.look()
    assert seen.close(["web", "new"]) == {"web": 3.0}


def test_who_goes_on_after_a_kill_measures_from_what_the_journal_has_or_from_the_beginning_of_the_step(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    run.write(phase="deploying", phase_at={"deploying": 990.0}, watched=["db", "web"], stopped={"web": 995.0}, downtime_s={})
    clock = _Clock(monkeypatch, "", "web,db")
    assert watch(clock, run).close(["web", "db"]) == {"db": 12.0, "web": 7.0}


def test_a_service_that_does_not_come_back_has_no_downtime_yet(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    clock = _Clock(monkeypatch, "web", "web:unhealthy")
    assert watch(clock, run).close(["web"], 0) == {}
    assert run.state["stopped"] == {"web": 1002.0}
    assert carried(run.state) == {"watched": ["web"], "stopped": {"web": 1002.0}, "downtime_s": {}}
    run.write(downtime_s={"web": 3.0})
    assert carried(run.state)["stopped"] == {}


class _Unseeing(Watch):
    """A watch for which Docker does not answer."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> None:
        self.looks += 1
        raise OSError("no socket")


def test_compose_runs_to_its_end_without_input_and_with_a_clean_environment_while_docker_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAG", "exported")
    monkeypatch.setattr(stack_watch, "_POLL_S", 0.01)
    seen = _Unseeing()
    said = stack_watch.compose(["sh", "-c", "sleep 0.1; cat; echo tag=$TAG home=$HOME; echo why >&2; exit 3"], seen)
    assert (said.code, said.out, seen.looks > 1) == (3, "tag= home=/root\nwhy\n", True)
    with pytest.raises(FailedFault, match="no-such-program can't be run"):
        stack_watch.compose(["no-such-program"], seen)


def test_who_is_interrupted_waits_for_compose_first(tmp_path: Path) -> None:
    class Interrupted(_Unseeing):
        def look(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack_watch.compose(["sh", "-c", f"sleep 0.2; echo ended > {tmp_path}/ended"], Interrupted())
    assert (tmp_path / "ended").read_text() == "ended\n"


def test_of_much_that_compose_says_the_end_is_kept_in_whole_lines() -> None:
    said = stack_watch.compose(["sh", "-c", "yes words | head -n 20000; echo last"], _Unseeing())
    assert (len(said.out), said.out[:6], said.out.endswith("last\n")) == (19_997, "words\n", True)
    assert stack_watch.compose(["sh", "-c", "yes half-a-secret | tr -d '\\n' | head -c 100000; echo"], _Unseeing()).out == ""
