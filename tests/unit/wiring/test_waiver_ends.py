"""What receipts say of waivers reaches whoever reads the site: here with real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.adapters.new_folder import NewSiteFolder
from controlplane.domain.desired import HostWaiver
from controlplane.usecases.init_site import init_site
from controlplane.usecases.record_run import Ledger
from tests.fakes.command_line import command_line

HOST = "db1"
WAIVERS = """
waivers:
  - {check: D237, host: db1, surface: budget.images, reason: known, approved_by: ops, expires: 2030-12-31, until: {root_used: 60%}}
  - {check: D238, host: db1, reason: known, approved_by: ops, expires: 2030-12-31}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "s"
    init_site(NewSiteFolder(folder))
    (folder / "policy.yml").write_text(f"version: 1\ntiers: {{boot-only: {{data: boot}}}}\nhosts:\n  {HOST}: {{tier: boot-only}}\n{WAIVERS}")
    (folder / "hosts.yml").write_text(f"all: {{hosts: {{{HOST}: }}}}\n")
    return folder


def waivers(site: Path) -> dict[str, HostWaiver]:
    [host] = wiring.site_view(str(site)).desired.hosts
    return {one.check: one for one in host.waivers}


def crossed(site: Path, waiver: HostWaiver, run: str = "CAP-20260301-120000__verify.pack.run__R0001") -> None:
    ledger = Ledger(wiring.receipts(str(site)), wiring.clock(), run=run, site="s", plan="", policy="x", operator="ann@desk")
    ledger.intend(run, host="*", capability="verify.pack.run", step="mint")
    said = {"host": HOST, "check": "D237", "surface": None, "waiver": waiver.digest(HOST), "reason": "root_used is 70%, it was given up to 60%"}
    ledger.close(run, host="*", capability="verify.pack.run", step="mint", outcome="failed", told={"waivers_ended": [said]})


def test_a_waiver_that_a_receipt_says_was_crossed_is_over_for_every_verb(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [one.void for one in waivers(site).values()] == [None, None]
    crossed(site, waivers(site)["D237"])
    run = "CAP-20260301-120000__verify.pack.run__R0001"
    told = f"ended for good: root_used is 70%, it was given up to 60% in {run}. Give it anew in policy.yml, or take it out"
    assert (waivers(site)["D237"].void, waivers(site)["D238"].void) == (told, None)
    shown = command_line(monkeypatch, capsys)("policy", "show", "--site", str(site), "--host", HOST).out
    assert f"waived D237 budget.images until 2031-01-01T00:00:00Z by ops: known (its waiver {told})" in shown
    # Given anew.
    policy = site / "policy.yml"
    policy.write_text(policy.read_text().replace("root_used: 60%", "root_used: 70%"))
    assert waivers(site)["D237"].void is None


def test_where_the_receipts_can_not_be_read_no_waiver_with_a_limit_holds(site: Path) -> None:
    crossed(site, waivers(site)["D237"])
    [*_, last] = sorted((site / "state" / "receipts").glob("0*.json"))
    last.write_text("{")
    told = waivers(site)["D237"].void
    assert told is not None
    assert told.startswith("does not hold: whether a limit of it was crossed before can't be read (")
    assert last.name in told
    # One without limits has none that could have been crossed.
    assert waivers(site)["D238"].void is None


def test_where_a_receipt_is_missing_no_waiver_with_a_limit_holds(site: Path) -> None:
    crossed(site, waivers(site)["D237"])
    waiver = waivers(site)["D237"]
    crossed(site, waiver, run="CAP-20260301-120001__verify.pack.run__R0002")
    first, said, _, again = sorted((site / "state" / "receipts").glob("0*.json"))
    assert "root_used is 70%" in said.read_text()
    said.unlink()
    again.write_text(again.read_text().replace(waiver.digest(HOST), "sha256:another"))
    told = waivers(site)["D237"].void
    assert told is not None
    assert "a receipt is missing. Look into it with 'controlplane receipts verify'" in told
    assert first.exists()


def test_what_another_version_said_of_waivers_is_a_doubt(site: Path) -> None:
    crossed(site, waivers(site)["D237"])
    [*_, last] = sorted((site / "state" / "receipts").glob("0*.json"))
    for said in ([{"host": HOST}], None, "D237"):
        plain = json.loads(last.read_text())
        plain["told"] = {"waivers_ended": said}
        last.write_text(json.dumps(plain))
        told = waivers(site)["D237"].void
        assert told is not None
        assert "R0001 says which were in a form that this version does not read" in told
