"""A disk that is full, or a folder that this user may not write, is told with what to do, and is no bug of this program."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.adapters.approvals import ApprovalFiles
from controlplane.adapters.gate_reports import GateReportFiles
from controlplane.adapters.session_files import SessionFile
from controlplane.adapters.signing import SshSigner
from controlplane.adapters.wave_folder import WaveFiles
from controlplane.domain.approval import approve
from controlplane.domain.errors import RunFailedError
from controlplane.domain.evidence import Unreached
from tests.fakes.chains import make_keys
from tests.fakes.gates import GateSite

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NONE = SshSigner(None, None)
PLAN = "sha256:aa"
AGAIN = "Make room there, or let this user write there, then"


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _approve(folder: Path, signer: SshSigner = NONE) -> None:
    ApprovalFiles(folder, signer).add(approve(PLAN, approver="ann", requester=None, now=NOW))


@pytest.mark.parametrize(
    ("module", "write", "file", "so"),
    [
        ("approvals", _approve, "aa.json", "so the plan is not approved"),
        ("approvals", lambda folder: ApprovalFiles(folder, NONE).use(PLAN, "RUN1"), "aa.used", "and nothing goes on by an approval whose use is not"),
        (
            "approvals",
            lambda folder: ApprovalFiles(folder, NONE).expire(PLAN, seen_at="x"),
            "aa.expired",
            "and a clock that is set back would revive",
        ),
        ("wave_folder", lambda folder: WaveFiles(folder).keep("W1", "x", "page.md", b""), "state/waves/W1/x/page.md", "and nothing goes on that is"),
        (
            "wave_folder",
            lambda folder: WaveFiles(folder, "releases").keep_evidence("shop", "x", "pre", {"a": Unreached(host="a", reason="gone")}),
            "state/releases/shop/x/pre.json",
            "and nothing goes on that is not kept",
        ),
        ("session_files", lambda folder: SessionFile(folder / "session.json").keep(GateSite().run()), "session.json", "so the next session would"),
    ],
)
def test_what_can_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, write: Callable[[Path], object], file: str, so: str
) -> None:
    monkeypatch.setattr(f"controlplane.adapters.{module}.write_durably", _full)
    with pytest.raises(RunFailedError) as told:
        write(tmp_path)
    assert str(told.value).startswith(f"{tmp_path / file} can't be written (No space left on device), {so}")
    assert AGAIN in str(told.value)


def test_an_approval_whose_signature_can_not_be_written_is_told_as_one_that_can_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = make_keys(tmp_path)
    monkeypatch.setattr("controlplane.adapters.signing.write_durably", _full)
    with pytest.raises(RunFailedError, match=r"aa.json can't be written \(No space left on device\), so the plan is not approved"):
        _approve(tmp_path / "approvals", SshSigner(keys / "ann", keys / "signers"))


def test_a_report_that_can_not_be_kept_ends_its_run_as_failed_and_every_streak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = GateSite()
    monkeypatch.setattr(site.reports, "keep", GateReportFiles(tmp_path).keep)
    monkeypatch.setattr("controlplane.adapters.gate_reports.write_durably", _full)

    with pytest.raises(RunFailedError, match=rf"can't be written \(No space left on device\), and a run counts .*{AGAIN} run the gates again"):
        site.run()

    intent, result = site.receipts.chain
    assert (result.key, result.outcome, "No space left on device" in str(result.reason)) == (intent.key, "failed", True)
    [run] = site.coordination.runs
    assert (run.run, {one.passed for one in run.results}) == (intent.key, {False})
