"""What changes hosts beside a plan, a way back and a reboot, asks the store of waves as the command line is wired."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.cli.app import main
from controlplane.domain.waves.record import WaveRecord
from controlplane.usecases.refuse_wave_plan import every_attempt
from tests.fakes.site import OPERATOR
from tests.fakes.waves import BOB, MOVE, FakeWaveSite


@pytest.mark.parametrize("words", [("verify", "--after-reboot"), ("ready", "mint-data", "--after-reboot"), ("rollback", "KEY")])
def test_a_host_of_somebody_s_wave_is_left_to_it(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    site = FakeWaveSite()
    run = str(site.apply(site.plan()).run)
    record = WaveRecord(opened_by=BOB, attempt="A1", head=None, hosts=("mint-data",)).plain()
    site.store.take("W8B", state="open", mutating=True, holder=BOB, record=record, now=site.clock.now(), ttl=timedelta(hours=1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "governed_site", lambda _given: (site.view, site.ports))
    monkeypatch.setattr(wiring, "operator", lambda: "ann@desk")
    monkeypatch.setattr(wiring, "waves_of", lambda _view: lambda: every_attempt(site.store))
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    monkeypatch.setattr(sys, "argv", ["controlplane", *(run if word == "KEY" else word for word in words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 4
    assert "mint-data belongs to wave W8B, which changes machines and is not ended (state open, held by bob@other)" in capsys.readouterr().err
    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)


@pytest.mark.parametrize("words", [("verify", "--after-reboot"), ("ready", "mint-data", "--after-reboot")])
def test_the_holder_of_a_wave_reboots_nothing_outside_of_its_windows(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    site = FakeWaveSite({"W1": {**MOVE, "windows": [{"start": "22:00", "end": "23:00"}]}})
    site.open()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "governed_site", lambda _given: (site.view, site.ports))
    monkeypatch.setattr(wiring, "operator", lambda: OPERATOR)
    monkeypatch.setattr(wiring, "waves_of", lambda _view: lambda: every_attempt(site.store))
    monkeypatch.setattr(wiring, "governance", lambda _given: (site.governance, ()))
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    monkeypatch.setattr(sys, "argv", ["controlplane", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 4
    assert "mint-data belongs to wave W1, outside of whose windows nothing is changed" in capsys.readouterr().err
    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)
