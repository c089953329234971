"""A run of the pack that a kill kept from coming after a step comes before the next one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.domain.windows import Window
from controlplane.usecases.run_wave import run_wave
from tests.fakes.waves import FakeWaveSite


class KilledError(BaseException):
    """A SIGKILL: nothing of the program runs on."""


def _killed_before_the_pack(site: FakeWaveSite) -> None:
    """Run the wave until its first step is on record, and no further."""

    def kill(line: str) -> None:
        if line.startswith("pack mint after"):
            raise KilledError

    with pytest.raises(KilledError):
        run_wave("W1", site.site(), site.wave_ports, progress=kill)
    assert [one.after for one in site.record().packs] == ["*"]


def _order(site: FakeWaveSite) -> list[str]:
    begun = [one for one in site.receipts.chain if one.phase == "intent" and (one.plan or one.capability == "verify.pack.run") and one.step != "*"]
    return [one.step for one in begun]


def test_whoever_goes_on_judges_the_pack_before_the_next_step_and_the_wave_closes() -> None:
    site = FakeWaveSite()
    site.wave(outputs=["pack"])
    site.led()
    _killed_before_the_pack(site)
    assert site.run().outcome == "done"
    # Opening made the first one.
    assert _order(site) == ["mint", "mint-data/010", "mint", "mint-data/020", "mint", "mint-data/030", "mint"]
    assert site.close().outcome == "closed"


def test_a_window_that_ends_while_that_is_judged_stops_before_the_next_step() -> None:
    site = FakeWaveSite(view={"windows": (Window(start="12:00", end="12:30"),)})
    site.led()
    _killed_before_the_pack(site)
    real = site.store.add_run

    def slowly(*given: object, **more: object) -> None:
        site.store.add_run = real  # type: ignore[method-assign]
        real(*given, **more)  # type: ignore[arg-type]
        site.clock.time += timedelta(hours=1)

    site.store.add_run = slowly  # type: ignore[method-assign]
    stopped = site.run()
    assert (stopped.outcome, "was not begun: no maintenance window is open" in stopped.messages[0]) == ("interrupted", True)
    assert [one.after for one in site.record().packs] == ["*", "mint-data/010"]
    assert [role for role, _ in site.host.ran] == ["data_disk"]
