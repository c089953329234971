"""What closings rest on: the newest reports by the order of the receipts."""

from __future__ import annotations

from controlplane.domain.finding import Finding, Summary, Verdict
from controlplane.domain.gates.report import GateReport
from controlplane.domain.governance import Governance
from controlplane.domain.registers import Registers
from controlplane.usecases.read_registers import Record, resting
from tests.fakes.gates import FakeGateReports
from tests.fakes.site import FakeSite
from tests.unit.domain.waves.test_changed import gates

_MOST = 200


def report(run: str, at: str, verdict: Verdict) -> GateReport:
    found = (Finding(check="D235", host="mint-data", surface="docker.data_root", verdict=verdict, severity="high", reason="as seen"),)
    none = Summary(met=1, drifted=0, waived=0, unknown=0)
    plain = {"site": "lab", "policy_digest": "x", "judged_at": at, "hosts": (), "pack": "mint", "passing": ()}
    return GateReport(**plain, summary=none, findings=found, run=run)  # type: ignore[arg-type]


def test_what_drifted_after_many_runs_by_a_clock_that_ran_ahead_is_not_hidden_by_them() -> None:
    """They passed by a clock that was ahead; its time has come since, and what came after them drifted."""
    site = FakeSite()
    reports = FakeGateReports(site.world)
    ahead = [(f"CAP-20260102-{number // 60:02d}{number % 60:02d}00__verify.pack.run__R0001", "2026-01-02T05:00:00Z") for number in range(_MOST)]
    drifted = ("CAP-20260101-120000__verify.pack.run__R0001", "2026-01-01T12:00:00Z")
    for run, at in (*ahead, drifted):
        reports.keep(report(run, at, Verdict.DRIFTED if (run, at) == drifted else Verdict.MET))
    chain = [("", receipt) for run, at in (*ahead, drifted) for receipt in gates(run, at)]
    found = resting(
        Governance(registers=Registers()),
        Record(reports, site.receipts, site.clock),
        governed=("mint-data",),
        chain=chain,
    )
    assert len(found.reports) == _MOST
    newest, held = found.known("D235", "mint-data")[0]
    assert (newest.run, [one.verdict for one in held]) == (drifted[0], [Verdict.DRIFTED])
