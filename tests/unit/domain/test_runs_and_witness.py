"""Run keys, run lists, approvals and the second witness."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from controlplane.domain.disks import NfsMount
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.plan import Mend
from controlplane.domain.receipt import ChangeStatus
from controlplane.domain.run_key import is_run_key, make_run_key
from controlplane.domain.run_list import run_rows
from controlplane.domain.run_result import unmet_promises
from controlplane.domain.witness import Answer, Question, judge_answers, questions_for
from controlplane.ports.plays import StepResult
from tests.fakes.chains import receipt
from tests.fakes.evidence_builder import MINIO, EvidenceBuilder, bind, desired_mint_data
from tests.fakes.site import FakeSite


def test_a_run_key_is_in_utc() -> None:
    there = datetime(2026, 1, 2, 1, 0, tzinfo=timezone(timedelta(hours=2)))

    assert make_run_key("docker.data_root", there, "0aff") == "CAP-20260101-230000__docker.data_root__R0aff"


@pytest.mark.parametrize("entropy", ["", "xyz1", "0AFF", "00000"])
def test_a_run_key_of_other_entropy_is_a_bug(entropy: str) -> None:
    with pytest.raises(ValueError, match="not a run key"):
        make_run_key("docker.data_root", datetime(2026, 1, 1, tzinfo=UTC), entropy)


@pytest.mark.parametrize("text", ["", "../x", "CAP-20260101-230000__a/b__R0aff", "CAP-20260101-230000__a__R0aff\n", "CAP-20260101-230000____R0aff"])
def test_what_could_leave_its_folder_is_no_run_key(text: str) -> None:
    assert not is_run_key(text)


def test_open_steps_are_listed_with_what_to_do_and_closed_ones_with_nothing() -> None:
    site = FakeSite()
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="interrupted", message="", told={})]
    site.apply(site.plan())

    rows = run_rows(site.receipts.chain)

    assert [(row.capability, row.state) for row in rows] == [("plan.apply", "open"), ("storage.data_disk", "done"), ("storage.fstab", "open")]
    assert rows[1].next == "nothing"
    assert rows[2].next.startswith("resume it: controlplane apply with the same plan file")


@pytest.mark.parametrize(
    ("capability", "told"),
    [
        ("release.begin", "nothing: what goes on with the release looks once more"),
        ("release.close", 'close it again: controlplane release close shop --env production --attest "..."'),
    ],
)
def test_what_a_release_leaves_beside_its_runs_says_what_follows_where_it_was_cut(capability: str, told: str) -> None:
    [row] = run_rows([receipt(1, capability=capability, step="shop/production", plan="", host="*")])
    assert (row.state, row.next) == ("interrupted", told)


def test_a_run_is_listed_as_rolled_back_once_all_of_its_steps_are() -> None:
    site = FakeSite()
    run = site.apply(site.plan()).run
    assert run is not None
    site.rollback(run)

    rows = run_rows(site.receipts.chain)

    assert {row.state for row in rows if row.run == run and row.ended_at and row.key == run} == {"rolled-back"}


@pytest.mark.parametrize("capability", ["storage.purge", "docker.hygiene", "storage.tmp_files"])
def test_no_way_back_is_named_for_an_open_run_that_deletes(capability: str) -> None:
    whole = receipt(1, capability="plan.apply", step="*", host="*")
    steps = [receipt(number, capability=capability).model_copy(update={"run": whole.run}) for number in (2, 3)]
    on, gone = "resume it: controlplane apply with the same plan file", f"its machine is gone for good: controlplane runs abandon {whole.run}"
    # Nothing was begun: there is nothing that could not go back.
    assert [row.next for row in run_rows([whole])] == [f"{on}; or take it back: controlplane rollback {whole.key}; {gone}"]
    assert [row.next for row in run_rows([whole, steps[0]])] == [f"{on}; {gone}"] * 2
    assert [row.next for row in run_rows([whole, *steps])] == [f"{on}; {gone}"] * 3


@pytest.mark.parametrize(("destructive", "goes_back"), [(True, False), (False, True)])
def test_what_runs_by_name_alone_goes_back_where_its_receipt_shows_that_it_deleted_nothing(destructive: bool, goes_back: bool) -> None:
    whole = receipt(1, capability="plan.apply", step="*", host="*")
    change = ChangeStatus(kind="file", target="timer", before=None, after="daily", destructive=destructive, status="done")
    begun, ended = receipt(2, capability="docker.hygiene"), receipt(2, "result", capability="docker.hygiene", changes=(change,))
    row = run_rows([whole, *(one.model_copy(update={"run": whole.run}) for one in (begun, ended))])[0]
    assert (f"or take it back: controlplane rollback {whole.key};" in row.next) == goes_back


def _met(surface: str, check: str = "D241") -> Finding:
    return Finding(check=check, host="mint-data", surface=surface, verdict=Verdict.MET, severity="high", reason="as declared")


@pytest.mark.parametrize(
    ("said", "verdict"), [("/a /mnt/data /b", Verdict.MET), ("/mnt/data", Verdict.MET), ("/a", Verdict.UNKNOWN), (None, Verdict.UNKNOWN)]
)
def test_paths_that_systemd_lists_are_looked_for_among_its_own(said: str | None, verdict: Verdict) -> None:
    evidence = EvidenceBuilder().build()
    question = next(one for one in questions_for(desired_mint_data(), evidence, [_met("boot.guard")]) if "RequiresMountsFor" in one.argv)
    answer = Answer(question=question, said=said, error=None if said else "rc 1: no")

    assert judge_answers([_met("boot.guard")], [answer])[0].verdict is verdict


def test_an_answer_that_only_holds_the_right_one_is_no_agreement_elsewhere() -> None:
    question = Question(host="mint-data", check="D240", surface="mount:/mnt/data", argv=("findmnt",), expect="aa")
    finding = _met("mount:/mnt/data", "D240")

    judged = judge_answers([finding], [Answer(question=question, said="aa bb", error=None)])[0]

    assert judged.verdict is Verdict.UNKNOWN
    assert "two witnesses disagree" in judged.reason


def test_the_second_witness_is_asked_for_every_mount_at_or_below_a_services_data_and_for_their_number() -> None:
    builder = EvidenceBuilder()
    builder.container(MINIO)["mounts"] += [bind("/mnt/data/cache", "/data/cache"), bind("/etc/hosts", "/etc/hosts", rw=False)]
    questions = questions_for(desired_mint_data(), builder.build(), [_met(f"service:{MINIO}", "D236")])

    assert [(question.argv[3], question.expect) for question in questions] == [
        ("{{.State.Running}}", "true"),
        ("{{len .Mounts}} {{len .HostConfig.Tmpfs}}", "3 0"),
        ('{{range .Mounts}}{{if eq .Destination "/data"}}{{.Source}}{{end}}{{end}}', "/mnt/data/mint-data/minio"),
        ('{{range .Mounts}}{{if eq .Destination "/data/cache"}}{{.Source}}{{end}}{{end}}', "/mnt/data/cache"),
    ]


def asked_of(builder: EvidenceBuilder, surface: str, **desired: Any) -> list[tuple[tuple[str, ...], str]]:
    questions = questions_for(desired_mint_data(**desired), builder.build(), [_met(surface)])
    return [(question.argv, question.expect) for question in questions]


def test_the_second_witness_is_asked_for_exports_the_log_driver_and_write_surfaces() -> None:
    builder = EvidenceBuilder()
    export = NfsMount(source="nas:/tank/media", mount="/mnt/media", mode="ro")
    row = next(mount for mount in builder.probes["mounts"] if mount["mount"] == "/mnt/data")
    builder.probes["mounts"].append({**row, "mount": "/mnt/media", "fstype": "nfs4", "source": "nas:/tank/media", "dev": "0:99"})
    builder.container(MINIO)["mounts"].append(bind("/srv/uploads", "/uploads"))
    assert asked_of(builder, "mount:/mnt/media", nfs=(export,)) == [(("findmnt", "-fnro", "FSTYPE,SOURCE", "/mnt/media"), "nfs4 nas:/tank/media")]
    assert asked_of(builder, "docker.log")[0] == (("docker", "info", "--format", "{{.LoggingDriver}}"), "json-file")
    [(argv, source)] = asked_of(builder, f"write_surface:{MINIO}:/uploads")
    assert (argv[-1], source) == (MINIO, "/srv/uploads")
    not_found = (("systemctl", "show", "--value", "-p", "LoadState", "docker.service"), "not-found")
    assert asked_of(builder.without_docker(), "docker.log") == [not_found]


def _purge_step() -> object:
    site = FakeSite()
    step = site.plan().steps[0]
    return step.model_copy(update={"mends": (Mend(check="D244", surface="retired:/old"),)})


@pytest.mark.parametrize(("verdict", "unmet"), [(None, 0), (Verdict.MET, 0), (Verdict.UNKNOWN, 1)])
def test_a_purge_is_kept_when_nothing_speaks_of_the_path_and_the_check_could_look(verdict: Verdict | None, unmet: int) -> None:
    findings = () if verdict is None else (_met("retired:*", "D244").model_copy(update={"verdict": verdict}),)

    assert len(unmet_promises(_purge_step(), findings)) == unmet  # type: ignore[arg-type]  # a Step


def test_a_waiver_keeps_no_promise() -> None:
    step = FakeSite().plan().steps[0]
    waived = _met("mount:/mnt/data", "D240").model_copy(update={"verdict": Verdict.WAIVED})

    assert unmet_promises(step, (waived,)) == [waived]
    assert unmet_promises(step, (_met("mount:/mnt/data", "D240"),)) == []
    assert unmet_promises(step, ())[0].reason == "no finding speaks of it"
