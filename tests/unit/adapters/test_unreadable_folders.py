"""A folder of the site that this user may not read is no empty one: whatever asks it says so, and no doubt passes for 'nothing there'."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from controlplane.adapters.anchors import AnchorFiles
from controlplane.adapters.approvals import ApprovalFiles
from controlplane.adapters.gate_reports import GateReportFiles
from controlplane.adapters.governance_files import read_governance
from controlplane.adapters.listing import names_in
from controlplane.adapters.plan_files import PlanFolder
from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.release_files import ReleaseFolder
from controlplane.adapters.release_specs import Surroundings, read_specs, stack_names
from controlplane.adapters.signing import SshSigner
from controlplane.domain.errors import ControlPlaneError, InputInvalidError, RefusedError, RunFailedError
from controlplane.wiring.governing import wave_attempts
from tests.fakes.another_user import refused
from tests.fakes.release_site import make_site

RUN = "CAP-20260102-110000__verify.pack.run__R0001"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NONE = SshSigner(None, None)


@pytest.mark.parametrize(
    ("ask", "kind", "told"),
    [
        (lambda folder: ReceiptFiles(folder, NONE).load(), RunFailedError, "so nobody knows what is on record. Nothing was changed."),
        (lambda folder: ReceiptFiles(folder, NONE).examine(), RunFailedError, "so nobody knows what is on record. Nothing was changed."),
        (lambda folder: GateReportFiles(folder).latest(3, {}), RunFailedError, "so nobody knows what gate runs found. Nothing was changed."),
        (lambda folder: GateReportFiles(folder).head_of(RUN), RunFailedError, f"{RUN}.json is no report of a gate run (PermissionError)"),
        (lambda folder: ApprovalFiles(folder, NONE).find("sha256:aa", at=NOW), RefusedError, "so nobody knows whether the plan is approved."),
        (lambda folder: PlanFolder(folder).get("sha256:aa"), RunFailedError, "so nobody knows what the run was to do. Nothing was changed."),
    ],
)
def test_what_this_user_may_not_read_is_told(tmp_path: Path, ask: Callable[[Path], object], kind: type[ControlPlaneError], told: str) -> None:
    folder = tmp_path / "held"
    folder.mkdir()
    with refused(folder), pytest.raises(kind) as refusal:
        ask(folder)
    assert told in str(refusal.value)
    assert str(folder) in str(refusal.value)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert ReceiptFiles(tmp_path / "none", NONE).load() == ()
    assert GateReportFiles(tmp_path / "none").latest(3, {}) == ()
    assert GateReportFiles(tmp_path / "none").head_of(RUN) is None
    assert ApprovalFiles(tmp_path / "none", NONE).find("sha256:aa", at=NOW) is None
    assert AnchorFiles(NONE, site=tmp_path / "none").read() == ((), ())
    assert names_in(tmp_path / "none") == []


@pytest.mark.parametrize("folder", ["state/waves", "state/releases/shop", "state/waves/W1/20260102-120000-0001"])
def test_closeouts_that_can_not_be_looked_for_are_a_fault_of_the_chain(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "state" / "waves").mkdir(exist_ok=True)
    (tmp_path / "state" / "waves" / "notes.txt").write_text("no wave")
    assert AnchorFiles(NONE, site=tmp_path).read() == ((), ())
    with refused(tmp_path / folder):
        _, faults = AnchorFiles(NONE, site=tmp_path).read()
    assert [one.reason for one in faults if one.file.startswith(folder)] in (
        ["can't be listed (Permission denied): which closeouts it holds is not known"],
        ["is no closeout, can't be read, or was altered"],
    )


def test_manifests_stacks_and_waves_that_can_not_be_listed_are_faults_of_the_site(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site")
    manifests = site / "releases" / "shop" / "manifests"
    with refused(manifests), pytest.raises(InputInvalidError, match="manifests: can't be listed"):
        ReleaseFolder(site).manifests("shop")
    with refused(manifests), pytest.raises(InputInvalidError, match="manifests: can't be listed"):
        ReleaseFolder(site).manifest("shop", "r1")
    (site / "waves").mkdir(exist_ok=True)
    with refused(site / "waves"):
        governance = read_governance(site, governed=None, live=None)
    assert [one.message for one in governance.wave_faults] == ["can't be listed (Permission denied): let this user read it"]
    with refused(site / "releases"):
        with pytest.raises(InputInvalidError, match="releases: can't be listed"):
            stack_names(site)
        assert [one.message for one in read_specs(site, Surroundings())[1]] == ["can't be listed (Permission denied): let this user read it"]


def test_where_waves_can_not_be_listed_the_store_is_asked(tmp_path: Path) -> None:
    (tmp_path / "waves").mkdir()
    asked: list[str] = []

    def opened() -> object:
        asked.append("store")
        raise RunFailedError("no store")

    attempts = wave_attempts(SimpleNamespace(folder=str(tmp_path)), opened, chain=tuple)  # type: ignore[arg-type]  # no more of it is asked
    assert (attempts(), asked) == ((), [])
    attempts = wave_attempts(SimpleNamespace(folder=str(tmp_path)), opened, chain=tuple)  # type: ignore[arg-type]
    with refused(tmp_path / "waves"), pytest.raises(RunFailedError, match="no store"):
        attempts()
