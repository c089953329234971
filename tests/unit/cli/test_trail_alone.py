"""After an accident the trail can be read and signed, whatever became of policy and inventory; and nothing runs that need not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane import wiring
from controlplane.adapters.new_folder import NewSiteFolder
from controlplane.cli.app import main
from controlplane.domain.evidence_file import evidence_document
from controlplane.domain.receipt import Receipt
from controlplane.usecases.init_site import init_site
from tests.fakes.evidence_builder import EvidenceBuilder
from tests.fakes.site import FakeSite

TRAIL = [("receipts", "list"), ("receipts", "show", "CAP-20260102-120000__plan.apply__R0001"), ("receipts", "verify")]
TRAIL += [("runs", "list"), ("runs", "show", "CAP-20260102-120000__plan.apply__R0001"), ("approve", "plan.json")]
Run = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with one receipt whose inventory is a script that leaves a trace, `ran`; beside it a plan."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "inventory" / "s"
    init_site(NewSiteFolder(folder))
    (folder / "hosts.yml").unlink()
    listed = {"databases": {"hosts": ["db1"]}, "servers": {"hosts": ["web1", "db1"]}, "_meta": {"hostvars": {}}}
    (folder / "hosts").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho '{json.dumps(listed)}'\n")
    (folder / "hosts").chmod(0o755)
    (folder / "site.yml").write_text((folder / "site.yml").read_text().replace("hosts.yml ", "hosts "))
    made = FakeSite()
    made.apply(made.plan())
    first: Receipt = made.receipts.chain[0].model_copy(update={"key": TRAIL[1][2], "run": TRAIL[1][2]})
    wiring.receipts(None).append(first)
    wiring.plan_files().write("plan.json", made.plan())
    return folder


@pytest.fixture
def run(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001 - the verbs meet that site
    def call(*argv: str) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["controlplane", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return call


@pytest.mark.parametrize("verb", TRAIL)
def test_the_trail_is_read_without_the_inventory(run: Run, tmp_path: Path, verb: tuple[str, ...]) -> None:
    code, out, _ = run(*verb)
    assert code == 0
    assert out
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("verb", TRAIL)
@pytest.mark.parametrize("broken", ["policy.yml", "hosts"])
def test_a_broken_policy_or_inventory_does_not_hide_the_trail(run: Run, site: Path, verb: tuple[str, ...], broken: str) -> None:
    (site / broken).write_text("version: [\n")
    assert run(*verb)[0] == 0
    (site / broken).unlink()
    assert run(*verb)[0] == 0


def test_a_broken_site_yml_is_named_since_it_says_whose_signatures_count(run: Run, site: Path) -> None:
    (site / "site.yml").write_text("name: s\nallowed_signers: 3\n")
    code, out, err = run("receipts", "verify")
    assert (code, out) == (2, "")
    assert err.startswith(f"{site}/site.yml:2: allowed_signers: ")


def test_evidence_of_a_file_is_judged_without_running_the_inventory(run: Run, site: Path, tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps(evidence_document({"db1": EvidenceBuilder().build("db1")})))

    code, out, err = run("audit", "--evidence", "e.json")
    assert (code, out) == (2, "")
    assert err == (
        f"{site}/site.yml: inventory: {site}/hosts is a script or a plugin's configuration and was not run, so hosts and groups were not "
        "checked against the inventory: add --inventory to run it\n"
    )
    assert not (tmp_path / "ran").exists()

    code, out, _ = run("audit", "--evidence", "e.json", "--inventory", "-o", "json")
    assert code == 5  # the evidence is old
    assert {finding["host"] for finding in json.loads(out)["findings"]} == {"db1"}
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("more", [(), ("--target", "local", "--evidence", "e.json")])
def test_an_inventory_is_run_on_demand_only_where_it_would_not_run_anyway(run: Run, more: tuple[str, ...]) -> None:
    code, _, err = run("audit", "--inventory", *more)
    assert code == 2
    assert "--inventory is for --evidence and a site" in err
