"""An old place whose disk is not there, or that somebody started the service on: what is seen then is not copied, and its hours are no downtime."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import path_downtime, path_move, path_top, services
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.path_move import PathMove
from controlplane_target.path_source import Source

from tests.unit.roles.test_target_path_overtaken import Leg
from tests.unit.roles.test_target_path_top import interrupted, taken_down

MOUNT = "Mount again what was mounted there, start the container anew on it, and run this again. Where that is gone for good: Bring back"


def unmounted(leg: Leg) -> dict[str, Any]:
    """Let the old place have lain on a disk of its own, which is not there now; return the path as it was."""
    [path] = leg.run.state["paths"]
    leg.run.write(paths=[{**path, "from_mount": str(leg.old)}])
    return dict(path)


@pytest.mark.parametrize("identity", ["old", "theirs"])
def test_one_that_somebody_started_or_made_anew_without_its_disk_is_left_running_and_the_leg_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    leg = interrupted(tmp_path, monkeypatch, "stopped", kind="bind")
    path = unmounted(leg)
    leg.docker.held.clear()
    leg.docker.add(identity, leg.old, started_at="2026-01-02T08:00:00Z")
    said = {"old": f"shop runs where it lay before, and was left as it is: {leg.old}, .* not on {leg.old}. A copy of what it held is in {leg.place}"}
    for _ in range(2):
        with pytest.raises(
            FailedFault, match=f"{said.get(identity, f'It does not have what lay in directory {leg.old}: a copy .* in {leg.place}')}.*{MOUNT}"
        ):
            leg.recover()
        assert (leg.run.phase, leg.docker.held[identity]["State"]["Running"], (leg.place / "file").exists()) == ("reverting", True, True)
    leg.run.write(paths=[path])
    assert (leg.recover(), leg.run.phase) == ("source", "reverted")


def test_one_that_was_left_without_its_disk_ends_where_nothing_is_left_of_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "stopped", kind="bind")
    unmounted(leg)
    leg.docker.add("old", leg.old, started_at="2026-01-02T08:00:00Z")
    leg.place.rename(tmp_path / "saved")
    assert (leg.recover(), leg.run.phase) == ("source", "reverted")


@pytest.mark.parametrize("is_moved", [False, True], ids=["the copy is there", "the copy was moved away"])
def test_one_that_stands_still_without_its_disk_names_the_copy_and_the_way_on_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_moved: bool
) -> None:
    leg = interrupted(tmp_path, monkeypatch, "stopped", kind="bind")
    unmounted(leg)
    if is_moved:
        leg.place.rename(tmp_path / "saved")
    with pytest.raises(FailedFault, match="shop was not started") as raised:
        leg.recover()
    assert (f"A copy of what it held is in {leg.place}" in str(raised.value)) is not is_moved
    assert "bring it up by hand on what is there now, then run this again" in str(raised.value)
    # That is a way on where nothing is left of the copy.
    leg.docker.add("old", leg.old, started_at="2026-01-02T08:00:00Z")
    if is_moved:
        assert (leg.recover(), leg.run.phase) == ("source", "reverted")


def test_one_that_somebody_started_and_that_stays_unhealthy_was_away_until_that_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "stopped", kind="bind")
    path_downtime.begin(leg.run)
    since = leg.run.state["down_since"]
    leg.run.write(down_since={**since, "boot_s": since["boot_s"] - 5 * 3600, "at": since["at"] - 5 * 3600})
    leg.docker.add("old", leg.old, started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600)))
    monkeypatch.setattr(services, "wait_for_answers", lambda *_: ({}, ["shop is running (unhealthy)"]))
    assert (leg.recover(), leg.run.state["complaint"]) == ("source", "shop is running (unhealthy)")
    assert leg.run.state["downtime_s"]["shop"] == pytest.approx(4 * 3600, abs=10)


@pytest.mark.parametrize("identity", ["old", "theirs"])
def test_the_hours_in_which_it_served_on_what_somebody_started_it_are_no_downtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    leg = interrupted(tmp_path, monkeypatch, "stopped", kind="bind")
    path_downtime.begin(leg.run)
    since = leg.run.state["down_since"]
    # Held five hours ago, and started four hours after.
    leg.run.write(down_since={**since, "boot_s": since["boot_s"] - 5 * 3600, "at": since["at"] - 5 * 3600})
    taken_down(leg)
    leg.old.mkdir()
    leg.docker.add(identity, leg.old, started_at=time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(time.time() - 3600)))
    for _ in range(2):
        with pytest.raises(FailedFault, match="another one by now"):
            leg.recover()
        assert (leg.run.phase, leg.run.state["down_since"]) == ("reverting", None)
        assert leg.run.state["downtime_s"]["shop"] == pytest.approx(4 * 3600, abs=10)


def test_one_that_somebody_made_and_did_not_start_is_down_until_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "stopped", kind="bind")
    path_downtime.begin(leg.run)
    taken_down(leg)
    leg.old.mkdir()
    leg.docker.add("theirs", leg.old)
    leg.docker.held["theirs"]["State"]["Running"] = False
    with pytest.raises(FailedFault, match="another one by now"):
        leg.recover()
    assert leg.run.state["down_since"] is not None


def test_one_that_somebody_started_where_it_lay_was_away_until_that_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "stopped", kind="bind")
    path_downtime.begin(leg.run)
    since = leg.run.state["down_since"]
    leg.run.write(down_since={**since, "boot_s": since["boot_s"] - 5 * 3600, "at": since["at"] - 5 * 3600})
    leg.docker.add("old", leg.old, started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600)))
    assert (leg.recover(), leg.run.phase) == ("source", "reverted")
    assert leg.run.state["downtime_s"]["shop"] == pytest.approx(4 * 3600, abs=10)


def test_nothing_is_copied_nor_stopped_for_while_the_disk_of_the_old_place_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen then is an empty folder, and the copy would become one."""
    leg = interrupted(tmp_path, monkeypatch, "staging", kind="bind")
    unmounted(leg)
    said = f"{leg.old}, where /data lay before, is on .* now, not on {leg.old}"
    mover = leg.leg(PathMove)
    monkeypatch.setattr(mover.trees, "stage", lambda: pytest.fail("copied"))
    with pytest.raises(FailedFault, match=f"^{said}. A copy of what it held is in {leg.place}, and was left as it is. {MOUNT}"):
        mover.stage()
    monkeypatch.setattr(path_move.path_stack, "assert_known", lambda *_: None)
    with pytest.raises(RefusedFault, match=f"^{said} since the copy of shop began. Nothing was changed. .*{MOUNT}"):
        leg.leg(PathMove).execute()
    assert (leg.docker.asked, leg.run.phase) == ([], "staging")


def test_a_later_attempt_does_not_write_what_is_seen_without_the_disk_over_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leg = interrupted(tmp_path, monkeypatch, "reverted", kind="bind")
    path, source = unmounted(leg), Source(**leg.run.state["paths"][0]["source"])
    [said] = path_top.of_copies(leg.run.home, source, "/data", str(leg.place))
    assert re.match(f"{leg.old}, where .* not on {leg.old} as when R1 copied it to {leg.place}, and that copy would be written over. {MOUNT}", said)
    leg.run.write(paths=[path])
    assert path_top.of_copies(leg.run.home, source, "/data", str(leg.place)) == []
