"""What gates keep and change on disk: modes in gates.yml, reports of runs, proposals, and digests of what judges."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.approvable_files import read_approvable
from controlplane.adapters.checker_digests import FileDigests
from controlplane.adapters.gate_reports import GateReportFiles
from controlplane.adapters.mode_file import GatesFile
from controlplane.adapters.proposal_files import ProposalFiles
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import InputInvalidError, RefusedError, RunFailedError
from controlplane.domain.finding import Finding, Summary, Verdict
from controlplane.domain.gates.proposal import ModeChange, Proposal, seal
from controlplane.domain.gates.report import GateReport
from controlplane.domain.gates.run_order import Begun
from controlplane.domain.gates.values import SiteCheck
from tests.counting import calls

GATES = """\
# what runs together
packs:
  mint: {checks: [D235]}   # one, for now
modes:
  D235:
    mint-apps: enforce  # since March
promotion: {runs: 3}
"""


def change(check: str, host: str, after: Any = "enforce") -> ModeChange:
    before = "report" if after == "enforce" else "enforce"
    return ModeChange(check=check, host=host, field=f"modes.{check}.{host}", before=before, after=after, runs=("CAP-1",))


def gates_file(folder: Path, text: str | None = GATES) -> GatesFile:
    if text is not None:
        (folder / "gates.yml").write_text(text)
    return GatesFile(folder / "gates.yml", folder / "locks")


def test_one_field_changes_and_every_other_byte_stays(tmp_path: Path) -> None:
    file = gates_file(tmp_path)
    assert file.prepared([change("D235", "mint-data")]).text == GATES.replace("# since March\n", "# since March\n    mint-data: enforce\n")
    assert file.prepared([change("D235", "mint-apps", "report")]).text == GATES.replace("enforce  #", "report  #")
    assert "  D241:\n    mint-data: enforce\npromotion" in file.prepared([change("D241", "mint-data")]).text
    assert (tmp_path / "gates.yml").read_text() == GATES


def test_what_is_written_is_the_text_with_its_mode_and_its_digest_is_another(tmp_path: Path) -> None:
    file = gates_file(tmp_path)
    (tmp_path / "gates.yml").chmod(0o640)
    before = file.digest()
    file.write(file.prepared([change("D235", "mint-data"), change("D241", "mint-data")]))
    assert (tmp_path / "gates.yml").stat().st_mode & 0o777 == 0o640
    assert file.digest() != before


@pytest.mark.parametrize("text", [None, GATES])
def test_a_file_that_was_saved_since_its_text_was_made_is_left_as_it_was_saved(tmp_path: Path, text: str | None) -> None:
    file, saved = gates_file(tmp_path, text), f"{GATES}# saved meanwhile\n"
    new = file.prepared([change("D241", "mint-data")])
    (tmp_path / "gates.yml").write_text(saved)
    with pytest.raises(RefusedError, match=r"gates\.yml was changed by another hand meanwhile, and is left as that made it\."):
        file.write(new)
    assert (tmp_path / "gates.yml").read_text() == saved


@pytest.mark.parametrize("text", [None, "", "# nothing yet\n", "packs: {mint: {checks: [D235]}}"])
def test_a_file_without_modes_gets_them(tmp_path: Path, text: str | None) -> None:
    file = gates_file(tmp_path, text)
    assert file.prepared([change("D235", "mint-data")]).text.endswith("modes:\n  D235:\n    mint-data: enforce\n")
    assert (file.digest() == "absent") is (text is None)


@pytest.mark.parametrize("text", ["{packs: {mint: {checks: [D235]}}}\n", "modes: [D235]\n"])
def test_a_file_that_takes_no_further_line_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    file = gates_file(tmp_path, text)
    with pytest.raises(RefusedError, match="Nothing was changed"):
        file.prepared([change("D235", "mint-data")])
    assert (tmp_path / "gates.yml").read_text() == text


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real.yml").write_text(GATES)
    (tmp_path / "gates.yml").symlink_to("real.yml")
    with pytest.raises(RefusedError, match="is a symbolic link"):
        gates_file(tmp_path, None).prepared([change("D235", "mint-data")])


def test_a_second_editor_waits_until_the_first_is_done(tmp_path: Path) -> None:
    file, order = gates_file(tmp_path), []

    def other() -> None:
        with GatesFile(tmp_path / "gates.yml", tmp_path / "locks").editing():
            order.append("second")

    with file.editing():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def report(run: str = "CAP-20260301-120000__verify.pack.run__R0001") -> GateReport:
    found = (Finding(check="D235", host="mint-data", surface="docker.data_root", verdict=Verdict.MET, severity="high", reason="as declared"),)
    none = Summary(met=1, drifted=0, waived=0, unknown=0)
    plain = {"site": "lab", "policy_digest": "x", "judged_at": "2026-03-01T12:00:00Z", "hosts": (), "pack": "mint", "passing": ()}
    return GateReport(**plain, summary=none, findings=found, run=run)  # type: ignore[arg-type]


def test_a_report_is_kept_once_and_read_with_the_digest_that_its_receipt_holds(tmp_path: Path) -> None:
    files = GateReportFiles(tmp_path / "gates")
    assert files.latest(5, {}) == ()
    files.keep(report())
    [one] = files.latest(5, {})
    assert (one.run, one.at, one.findings, one.digest) == (
        report().run,
        report().judged_at,
        report().findings,
        report().digest(),
    )
    with pytest.raises(RunFailedError, match="is there already"):
        files.keep(report())


def test_a_report_says_by_what_it_judged_and_one_from_before_it_could_keeps_its_digest(tmp_path: Path) -> None:
    files = GateReportFiles(tmp_path)
    files.keep(report().model_copy(update={"checkers": {"D235": "sha256:c"}}))
    [one] = files.latest(1, {})
    assert (one.policy, one.checkers) == ("x", {"D235": "sha256:c"})
    assert one.digest != report().digest()
    for later in ({"checkers", "facts", "ended", "more"}, {"facts", "ended", "more"}):
        told = report().model_copy(update={"checkers": {} if "checkers" in later else {"D235": "sha256:c"}})
        plain = told.model_dump(mode="json", exclude=later)
        (tmp_path / f"{report().run}.json").write_text(json.dumps(plain))
        assert [one.digest for one in files.latest(1, {})] == [digest_of(plain)]
        head = files.head_of(report().run)
        assert head is not None
        assert head.digest == digest_of(plain)


def test_a_report_is_read_by_its_run_and_by_nothing_else(tmp_path: Path) -> None:
    files = GateReportFiles(tmp_path / "gates")
    assert files.head_of(report().run) is None
    files.keep(report())
    # Of what it found the digest alone.
    assert files.head_of(report().run) == (report().model_copy(update={"findings": ()}), report().digest())
    (tmp_path / "other.json").write_text(report().model_dump_json())
    assert files.head_of("../other") is None
    strange = (report().model_dump_json().replace('"as declared"', "NaN"), report().model_dump_json().replace("R0001", "R0002"))
    for text in ("{}", "[]", "{", *strange):
        (tmp_path / "gates" / f"{report().run}.json").write_text(text)
        with pytest.raises(RunFailedError, match=r"is no report of a gate run|is the report of"):
            files.head_of(report().run)


def test_the_head_of_a_report_costs_no_more_where_it_found_more_and_its_digest_is_of_all_of_it(tmp_path: Path) -> None:
    files = GateReportFiles(tmp_path)
    few, many = report(), report("CAP-20260301-120000__verify.pack.run__R0002")
    many = many.model_copy(update={"findings": many.findings * 1000})
    for one in (few, many):
        files.keep(one)
        files.head_of(one.run)
    assert calls(lambda: files.head_of(many.run)) == calls(lambda: files.head_of(few.run))
    head = files.head_of(many.run)
    assert head is not None
    assert head.digest == many.digest()
    # A finding that is another one shows, though no finding is made of it.
    path = tmp_path / f"{many.run}.json"
    path.write_text(path.read_text().replace('"MET"', '"DRIFTED"', 1))
    head = files.head_of(many.run)
    assert head is not None
    assert head.digest != many.digest()


def test_only_the_newest_are_read_the_oldest_of_them_first(tmp_path: Path) -> None:
    files = GateReportFiles(tmp_path)
    names = [f"CAP-2026030{day}-120000__verify.pack.run__R0001" for day in (3, 1, 2)]
    for name in names:
        files.keep(report(name))
    (tmp_path / "CAP-notes.json").write_text("mine")
    assert [one.run for one in files.latest(2, {})] == [names[2], names[0]]


def test_the_newest_are_those_that_stand_last_in_the_chain_and_no_other_is_read(tmp_path: Path) -> None:
    files = GateReportFiles(tmp_path)
    ahead, before, after = (f"CAP-{day}-120000__verify.pack.run__R0001" for day in ("20260401", "20260301", "20260302"))
    for name in (before, after):
        files.keep(report(name))
    # By its name it is the newest; what is in it would be refused.
    (tmp_path / f"{ahead}.json").write_text("{}")
    began = {before: Begun(3, None), ahead: Begun(1, None), after: Begun(5, None)}
    assert [one.run for one in files.latest(2, began)] == [before, after]
    with pytest.raises(RunFailedError, match=f"{ahead}.json is no report of a gate run"):
        files.latest(3, began)


def test_a_report_whose_name_is_of_no_day_is_named(tmp_path: Path) -> None:
    name = "CAP-20261399-120000__verify.pack.run__R0001"
    GateReportFiles(tmp_path).keep(report(name))
    with pytest.raises(RunFailedError, match=f"{name}.json is no report of a gate run"):
        GateReportFiles(tmp_path).latest(1, {})


@pytest.mark.parametrize("text", ["", "{}", "[" * 5000, '{"run": "CAP-9"}'])
def test_a_report_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / f"{report().run}.json"
    path.write_text(text)
    with pytest.raises(RunFailedError, match="is no report of a gate run"):
        GateReportFiles(tmp_path).latest(1, {})


def test_a_report_under_another_runs_name_is_refused(tmp_path: Path) -> None:
    files = GateReportFiles(tmp_path)
    files.keep(report())
    (tmp_path / f"{report().run}.json").rename(tmp_path / "CAP-20260302-120000__verify.pack.run__R0002.json")
    with pytest.raises(RunFailedError, match=f"is the report of {report().run}"):
        files.latest(1, {})


def test_the_checks_of_this_program_share_a_digest_and_one_of_the_site_has_its_files(tmp_path: Path) -> None:
    own = {"D204": SiteCheck(title="x", file="checks/test_d204.py")}
    digests = FileDigests(tmp_path)
    assert digests.of("D204", own).startswith("gone: ")
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "test_d204.py").write_text("def test_a(): pass\n")
    first = digests.of("D204", own)
    (tmp_path / "checks" / "test_d204.py").write_text("def test_b(): pass\n")
    assert digests.of("D204", own) != first
    assert digests.of("D235", own) == digests.of("D234", own) == FileDigests(tmp_path / "other").of("D235", {})
    assert digests.of("D235", own) != first
    alone = digests.of("D204", own)
    (tmp_path / "checks" / "conftest.py").write_text("FIXTURES = 1\n")
    with_fixtures = digests.of("D204", own)
    (tmp_path / "conftest.py").write_text("FIXTURES = 2\n")
    assert len({alone, with_fixtures, digests.of("D204", own)}) == 3


def test_whatever_a_check_of_the_site_can_import_or_compare_with_is_part_of_what_judges(tmp_path: Path) -> None:
    own = {"D204": SiteCheck(title="x", file="checks/test_d204.py")}
    digests = FileDigests(tmp_path)
    (tmp_path / "checks" / "lib").mkdir(parents=True)
    (tmp_path / "checks" / "test_d204.py").write_text("from lib.places import PLACES\n")
    elsewhere = tmp_path.parent / f"{tmp_path.name}-shared"
    elsewhere.mkdir()
    seen = [digests.of("D204", own)]
    for name in ("checks/lib/places.py", "checks/lib/__init__.py", "checks/expected.json", "checks/test_other.py", "helper.py"):
        for text in ("A = 1\n", "A = 2\n"):
            (tmp_path / name).write_text(text)
            seen.append(digests.of("D204", own))
    (tmp_path / "checks" / "shared").symlink_to(elsewhere)
    (elsewhere / "rules.py").write_text("A = 1\n")
    seen.append(digests.of("D204", own))
    (elsewhere / "rules.py").rename(elsewhere / "other.py")
    seen.append(digests.of("D204", own))
    assert len(set(seen)) == len(seen)


def test_what_is_judged_and_what_python_leaves_behind_is_no_part_of_what_judges(tmp_path: Path) -> None:
    own = {"D204": SiteCheck(title="x", file="checks/test_d204.py"), "D205": SiteCheck(title="x", file="test_d205.py")}
    digests = FileDigests(tmp_path)
    (tmp_path / "checks").mkdir()
    for check in own.values():
        (tmp_path / check.file).write_text("def test_a(): pass\n")
    seen = [(digests.of("D204", own), digests.of("D205", own))]
    for name in ("registry/services.yml", "state/gates/run.json", "policy.yml", "checks/__pycache__/x.pyc", "checks/.pytest_cache/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        seen.append((digests.of("D204", own), digests.of("D205", own)))
    # A folder that leads back to itself is looked at once.
    assert len(set(seen)) == 1
    (tmp_path / "checks" / "again").symlink_to(tmp_path / "checks")
    assert digests.of("D204", own) == seen[0][0]


def proposal() -> Proposal:
    return seal(
        kind="promote",
        site="lab",
        made_at="2026-03-01T12:00:00Z",
        requester="ann@desk",
        reason="",
        file="gates.yml",
        file_digest="sha256:x",
        policy="sha256:p",
        changes=(change("D235", "mint-data"),),
    )


def test_a_proposal_is_read_as_it_was_written_and_shows_what_it_changes_when_it_is_approved(tmp_path: Path) -> None:
    path = str(tmp_path / "promotion.json")
    ProposalFiles().write(path, proposal())
    assert ProposalFiles().read(path) == proposal()
    asked = read_approvable(path)
    assert (asked.digest, asked.then) == (proposal().proposal, "gates promote --apply")
    assert asked.modes == ("gates.yml  modes.D235.mint-data: report -> enforce",)


def test_a_proposal_that_was_altered_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "promotion.json"
    ProposalFiles().write(str(path), proposal())
    path.write_text(path.read_text().replace("mint-data", "mint-apps"))
    for read in (ProposalFiles().read, read_approvable):
        with pytest.raises(InputInvalidError, match="was altered after it was made"):
            read(str(path))


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"proposal": "x"}), '{"proposal": ' + "[" * 100_000, "\x00"])
def test_what_is_no_proposal_is_said_and_no_traceback(tmp_path: Path, text: str) -> None:
    path = tmp_path / "promotion.json"
    path.write_text(text)
    with pytest.raises(InputInvalidError):
        ProposalFiles().read(str(path))
    with pytest.raises(InputInvalidError):
        read_approvable(str(path))
