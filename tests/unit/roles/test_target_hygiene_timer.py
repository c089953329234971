"""The timer on the machine: what sets it up, and what it leaves behind of each time that it worked."""

from __future__ import annotations

from pathlib import Path

import pytest
from controlplane_target import hygiene_timer, settle_units
from controlplane_target.state import Home

SETTINGS = {"keep": 1}


class _Systemd:
    """A systemd that knows the two units; the last run of the service failed."""

    def __init__(self) -> None:
        self.result, self.is_enabled, self.is_active = "exit-code", False, False

    def systemctl(self, *words: str, check: bool = True) -> str:  # noqa: ARG002 - as the real one
        if words == ("reset-failed", hygiene_timer.SERVICE):
            self.result = "success"
        self.is_enabled |= words == ("--quiet", "enable", hygiene_timer.TIMER)
        self.is_active |= words == ("restart", hygiene_timer.TIMER)
        if words[0] == "is-enabled":
            return "enabled\n" if self.is_enabled else "disabled\n"
        return ("active\n" if self.is_active else "inactive\n") if words[0] == "is-active" else "no\n"


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Systemd:
    made = _Systemd()
    monkeypatch.setattr(hygiene_timer, "systemctl", made.systemctl)
    monkeypatch.setattr(settle_units, "FOLDER", tmp_path)
    return made


def test_a_timer_that_is_set_up_anew_is_not_judged_by_how_it_ended_before(systemd: _Systemd, tmp_path: Path) -> None:
    run = Home(tmp_path / "home").run("R1")
    (run.folder / "controlplane_target").mkdir(parents=True)
    assert hygiene_timer.install(run.home, run, "daily", "0", SETTINGS) is True
    assert systemd.result == "success"
    systemd.result = "exit-code"
    # Nothing lacks of it, so this changes nothing.
    assert hygiene_timer.install(run.home, run, "daily", "0", SETTINGS) is False
    assert systemd.result == "exit-code"


def test_one_whose_set_up_was_killed_goes_on_with_it(systemd: _Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Home(tmp_path / "home").run("R1")
    (run.folder / "controlplane_target").mkdir(parents=True)
    hygiene_timer.install(run.home, run, "daily", "0", SETTINGS)
    systemd.result = "exit-code"
    with monkeypatch.context() as patched:
        patched.setattr(hygiene_timer, "_reload", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            hygiene_timer.install(run.home, run, "daily", "1", SETTINGS)
    # The units are as they shall be; how it ended before is forgotten all the same.
    assert (hygiene_timer.lacking(run.home, "daily", "1", SETTINGS), systemd.result) == ([], "success")
