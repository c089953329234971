"""A site that never had a wave has no store to ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.domain.errors import RefusedError
from controlplane.domain.waves.record import WaveRecord
from controlplane.usecases.refuse_wave_plan import every_attempt
from controlplane.wiring.governing import plain_course, show_time, wave_attempts
from tests.fakes.coordination import FakeCoordination
from tests.fakes.site import FakeSite


@pytest.mark.parametrize(("leaves", "asked"), [("nothing", 0), ("a file", 2), ("a receipt", 2)])
def test_the_store_is_asked_for_waves_where_there_is_one_or_was_one(tmp_path: Path, leaves: str, asked: int) -> None:
    site, store, opened = FakeSite(), FakeCoordination(), list[str]()
    assert site.apply(site.plan()).outcome == "done"
    chain = list(site.receipts.chain)
    store.take("W1", state="open", mutating=True, holder="bob", record={}, now=site.clock.now(), ttl=timedelta(hours=1))
    (tmp_path / "waves").mkdir()
    if leaves == "a file":
        (tmp_path / "waves" / "W1.yml").write_text("")
    if leaves == "a receipt":
        chain.append(chain[-1].model_copy(update={"capability": "wave.open"}))

    @contextmanager
    def open_store() -> Iterator[FakeCoordination]:
        opened.append("store")
        yield store

    attempts = wave_attempts(site.view.model_copy(update={"folder": str(tmp_path)}), open_store, chain=lambda: chain)
    assert [[held.wave for held in attempts()] for _ in range(2)] == [["W1"] if asked else []] * 2
    assert len(opened) == asked


@pytest.mark.parametrize(("approval", "is_refused"), [("self", True), ("other", True), ("none", False)])
def test_an_approval_is_not_judged_by_a_clock_that_is_behind_the_stores(approval: str, is_refused: bool) -> None:
    site, store = FakeSite(), FakeCoordination()
    store.take("W1", state="open", mutating=True, holder="bob", record={}, now=site.clock.now() + timedelta(hours=1), ttl=timedelta(hours=1))
    view = site.view.model_copy(update={"approval": approval})
    with nullcontext() if not is_refused else pytest.raises(RefusedError, match="clock is behind what the site has seen"):
        show_time(view, every_attempt(store), lambda: nullcontext(store), now=site.clock.now())


@pytest.mark.parametrize(("approval", "is_refused"), [("self", True), ("none", False)])
def test_no_course_of_a_plan_is_given_to_a_clock_that_is_behind_the_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, approval: str, is_refused: bool
) -> None:
    site, store = FakeSite(), FakeCoordination()
    plan, links = site.plan(), len(site.receipts.chain)
    ahead = site.clock.now() + timedelta(hours=1)
    record = WaveRecord(opened_by="bob", attempt="W1", head="").plain()
    store.take("W1", state="open", mutating=False, holder="bob", record=record, now=ahead, ttl=timedelta(hours=1))
    (tmp_path / "waves").mkdir()
    (tmp_path / "waves" / "W1.yml").write_text("")
    for name, given in {"receipts": site.receipts, "approvals": site.approvals, "coordination": nullcontext(store)}.items():
        monkeypatch.setattr(wiring, name, lambda _, given=given: given)
    monkeypatch.setattr(wiring, "clock", lambda: site.clock)
    view = site.view.model_copy(update={"approval": approval, "folder": str(tmp_path)})
    with nullcontext() if not is_refused else pytest.raises(RefusedError, match="clock is behind what the site has seen"):
        plain_course(view, plan)
    assert (site.runner.plays, len(site.receipts.chain)) == ([], links)
