"""What the second witness is asked: about every surface that a check judges, of a MET and of a drift, by commands that really say so."""

from __future__ import annotations

import os
import socket
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane.adapters.verification import TestinfraWitness
from controlplane.domain.asking import HYGIENE_SERVICE, HYGIENE_TIMER
from controlplane.domain.checks import CHECKS, judge_host
from controlplane.domain.desired import DesiredHost, Registered
from controlplane.domain.disks import NfsMount
from controlplane.domain.evidence_shapes.system import Unit
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.machines import Libvirt
from controlplane.domain.policy import Hygiene
from controlplane.domain.registers.links import Linkage
from controlplane.domain.services import WriteSurface
from controlplane.domain.witness import UNASKED, Answer, Question, judge_answers, questions_for
from controlplane.domain.witness.ask import agrees, unit_asks
from tests.fakes.evidence_builder import COLLECTED, MINIO, POSTGRES, REDIS, EvidenceBuilder, bind, desired_mint_data
from tests.fakes.machine_builder import brought_up, settle, unit
from tests.fakes.release_builder import release_wanted, running

SURFACE = WriteSurface(container=MINIO, path="/uploads", place="/mnt/data/uploads")


def whole() -> DesiredHost:
    """Return a host of which every check asks something."""
    plain = desired_mint_data()
    row = Linkage(id="STOR-001", hosts=(), gaps=("GAP-OP-1",), loops=("LOOP-A",), open_gaps=(), faults=())
    return desired_mint_data(
        machine=brought_up().model_copy(update={"hypervisor_name": "kvm1", "hypervisor": Libvirt(host="kvm1")}),
        releases=(release_wanted(),),
        write_surfaces=(SURFACE,),
        nfs=(NfsMount(source="nas:/media", mount="/mnt/media", mode="ro"),),
        registered=Registered(rows=(row,), doubt=None),
        docker=plain.docker.model_copy(update={"hygiene": Hygiene()}),
    )


def finding(surface: str, verdict: Verdict = Verdict.MET) -> Finding:
    return Finding(check="D240", host="mint-data", surface=surface, verdict=verdict, severity="high", reason="as it was seen")


def asked(builder: EvidenceBuilder, surface: str, verdict: Verdict = Verdict.MET, **desired: Any) -> list[Question]:
    return list(questions_for(desired_mint_data(**desired), builder.build(), [finding(surface, verdict)]))


def test_every_surface_that_a_check_judges_is_put_to_the_second_witness() -> None:
    builder = running(settle(EvidenceBuilder()), release_wanted())
    builder.container(MINIO)["mounts"].append(bind("/mnt/data/uploads", "/uploads"))
    builder.probes["target_state"]["retired"] = [RETIRED | {"exists": False}]
    builder.probes["units"] |= {name: unit(load_state="not-found") for name in (HYGIENE_TIMER, HYGIENE_SERVICE)}
    desired = whole()
    surfaces = {surface.surface for check in CHECKS.values() for surface in check.questions(desired, False)} | {"service:*"}
    silent = {one for one in surfaces if not questions_for(desired, builder.build(), [finding(one)])}

    assert {one.partition(":")[0] for one in silent - {"service:*"}} == UNASKED


RETIRED = {
    "path": "/var/lib/docker.retired",
    "run": "CAP-20260101-000000__docker.data_root__R0000",
    "retired_at": "2026-01-01T00:00:00Z",
    "size": 1,
    "entries": 1,
    "exists": True,
    "recorded": "a",
    "fingerprint": "a",
    "unreadable": None,
    "purging": None,
    "replaced_by": "/mnt/data/docker",
}


@pytest.mark.parametrize("verdict", [Verdict.MET, Verdict.DRIFTED, Verdict.WAIVED])
def test_a_verdict_that_the_second_witness_does_not_share_is_unknown(verdict: Verdict) -> None:
    [question] = asked(EvidenceBuilder(), "mount:/mnt/data", verdict)
    judged = [
        judge_answers([finding("mount:/mnt/data", verdict)], [Answer(question=question, said=said, error=None)])[0]
        for said in ("22222222-2222-4222-8222-222222222222", "another-uuid")
    ]

    assert [one.verdict for one in judged] == [verdict, Verdict.UNKNOWN]
    due = "'22222222-2222-4222-8222-222222222222'"
    told = f"two witnesses disagree: evidence says 'as it was seen', but live findmnt says 'another-uuid' where {due} was due"
    assert judged[1].reason == told


def test_what_the_first_witness_does_not_know_is_not_asked() -> None:
    assert asked(EvidenceBuilder(), "mount:/mnt/data", Verdict.UNKNOWN) == []


def test_one_probe_that_failed_leaves_no_other_verdict_unconfirmed() -> None:
    builder = EvidenceBuilder().fail("units")
    found = [finding("boot.guard"), finding("mount:/mnt/data")]

    assert {one.surface for one in questions_for(desired_mint_data(), builder.build(), found)} == {"mount:/mnt/data"}


def test_what_is_missing_is_asked_for_as_missing() -> None:
    builder = EvidenceBuilder()
    builder.probes["mounts"] = [row for row in builder.probes["mounts"] if row["mount"] != "/mnt/data"]
    builder.probes["fstab"]["entries"] = []
    builder.probes["docker_containers"] = []
    drifts = ["mount:/mnt/data", "fstab:/mnt/data", "disk.usage:/mnt/data", f"service:{MINIO}"]
    told = [(one.argv[0], one.expect, one.ends) for surface in drifts for one in asked(builder, surface, Verdict.DRIFTED)]

    assert told == [("findmnt", "", (1,)), ("findmnt", "", (1,)), ("findmnt", "", (1,)), ("docker", "", (0,))]


@pytest.mark.parametrize(
    ("surface", "limit"),
    [("boot.usage", "60"), ("disk.usage:/mnt/data", "80"), ("budget.images", "15000000000"), ("budget.build_cache", "10000000000")],
)
def test_what_is_measured_has_to_be_seen_on_the_same_side_of_its_limit(surface: str, limit: str) -> None:
    met, drifted = (asked(EvidenceBuilder(), surface, verdict)[0] for verdict in (Verdict.MET, Verdict.DRIFTED))

    assert (met.expect, met.how, drifted.how) == (limit, "at_most", "at_least")


def test_df_and_docker_are_read_by_the_line_that_is_meant() -> None:
    used = asked(EvidenceBuilder(), "disk.usage:/mnt/data")[0]
    held = asked(EvidenceBuilder(), "budget.images")[0]

    assert used.agrees("Mounted on Use% IUse%\n/mnt/data   80%     5%")
    assert not used.agrees("Mounted on Use% IUse%\n/mnt/data   12%    81%")
    assert not used.agrees("Mounted on Use% IUse%\n/           12%     5%")
    assert held.agrees("Images=14.9GB\nContainers=0B\nLocal Volumes=99GB\nBuild Cache=0B")
    assert not held.agrees("Images=15.2GB\nContainers=0B\nLocal Volumes=0B\nBuild Cache=0B")
    assert not held.agrees("Images=N/A")


@pytest.mark.parametrize(
    ("said", "expected"),
    [("0B (virtual 9GB)\n499MB (virtual 1GB)", True), ("1.2kB\n512MB (virtual 1GB)", False), ("1kB\nN/A", False), ("", False), ("5 apples", True)],
)
def test_sizes_in_every_spelling_are_compared_with_a_limit(said: str, expected: bool) -> None:
    assert agrees("at_most", "500000000", said) is expected


@pytest.mark.parametrize(("said", "bytes_"), [("1kB", 1000), ("1KiB", 1024), ("1.5GB", 1_500_000_000), ("2GiB", 2 * 1024**3), ("7B", 7), ("42%", 42)])
def test_a_unit_counts(said: str, bytes_: int) -> None:
    assert agrees("at_most", str(bytes_), said)
    assert not agrees("at_most", str(bytes_ * 0.99), said)
    assert agrees("at_least", str(bytes_), said)
    assert not agrees("at_least", str(bytes_ * 1.01), said)


def test_a_size_that_docker_rounds_up_to_the_next_unit_counts_as_what_it_is() -> None:
    assert agrees("at_least", "900000000", "1e+03MB (virtual 2GB)")
    assert not agrees("at_most", "900000000", "1e+03MB (virtual 2GB)")


def test_of_a_moment_nothing_is_rounded() -> None:
    builder = EvidenceBuilder()
    builder.probes["identity"]["boot_epoch"] = 1_700_000_000.4
    [began] = [one for one in asked(builder, "reboot.proof") if "UserspaceTimestampMonotonic" in one.argv[-1]]

    assert began.agrees("1699999998")
    assert not began.agrees("1699999990")


@pytest.mark.parametrize(
    ("seen", "argv"),
    [
        ({"properties": {"Id": "chrony.service"}}, ("systemctl", "is-enabled", "chrony.service")),
        ({"properties": {}}, ("systemctl", "is-enabled", "chronyd.service")),
        ({"enabled": "generated"}, ("systemctl", "show", "--value", "-p", "UnitFileState", "chronyd.service")),
    ],
)
def test_a_unit_is_asked_for_by_the_words_in_which_the_evidence_has_it(seen: dict[str, Any], argv: tuple[str, ...]) -> None:
    asks = unit_asks("chronyd.service", cast("Unit", unit(**seen)))

    assert [(one.argv, one.expect) for one in asks] == [
        (argv, seen.get("enabled", "enabled")),
        (("systemctl", "is-active", "chronyd.service"), "active"),
    ]


def test_a_package_of_two_architectures_is_installed() -> None:
    question = asked(settle(EvidenceBuilder()), "baseline.packages", machine=brought_up())[0]

    assert question.argv[2] == r"--showformat=${db:Status-Status}\n"
    assert [question.agrees(said) for said in ("installed\ninstalled", "installed\nconfig-files", "config-files", "")] == [True, True, False, False]


def test_no_container_may_have_a_writable_mount_that_the_evidence_lacks() -> None:
    [question] = asked(EvidenceBuilder(), "unlisted:*")
    known = f"/{REDIS} /data /mnt/data/mint-data/redis"

    assert question.agrees(known)
    assert question.agrees("")
    assert not question.agrees(f"{known}\n/cron /work /var/lib/docker/volumes/x/_data")


def test_databases_are_asked_for_what_runs_and_the_host_for_the_append_only_file() -> None:
    builder = EvidenceBuilder()
    builder.probes["redis"][REDIS]["running"] |= {"port": "6380"}
    redis, postgres = asked(builder, f"redis:{REDIS}"), asked(builder, f"service:{POSTGRES}")

    assert [(one.argv[-1], one.expect) for one in redis[:2]] == [("appendonly", "appendonly\nyes"), ("appendfsync", "appendfsync\neverysec")]
    assert redis[0].argv[:6] == ("docker", "exec", REDIS, "redis-cli", "-p", "6380")
    manifest = "/mnt/data/mint-data/redis/appendonlydir/appendonly.aof.manifest"
    assert (redis[-1].argv[:2], redis[-1].expect) == (("find", manifest), manifest)
    assert postgres[-1].expect == "fsync=on\nfull_page_writes=on"


def test_postgresql_is_asked_by_the_socket_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "psql").write_text('#!/bin/sh\necho "$PGHOST $PGPORT $*"\n')
    (tmp_path / "psql").chmod(0o755)
    (tmp_path / ".s.PGSQL.5433.lock").touch()
    *_, shell, flag, script, name, sql = asked(EvidenceBuilder(), f"service:{POSTGRES}")[-1].argv
    here = script.replace("/run/postgresql /tmp /var/run/postgresql", f"{tmp_path}/none {tmp_path}")
    said = []
    for there in (False, True):
        if there:
            server = socket.socket(socket.AF_UNIX)
            server.bind(str(tmp_path / ".s.PGSQL.5433"))
            server.close()
        ran = subprocess.run(
            [shell, flag, here, name, sql], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=True
        )
        said.append(ran.stdout.partition(" -X")[0])

    assert here != script
    assert said == [" ", f"{tmp_path} 5433"]


@pytest.mark.parametrize("error", ['FATAL:  no pg_hba.conf entry for host "[local]", user "app"', "psql: not found"])
def test_a_postgresql_that_lets_nobody_in_speaks_neither_for_nor_against(error: str) -> None:
    question = asked(EvidenceBuilder(), f"service:{POSTGRES}")[-1]
    [judged] = judge_answers([finding(f"service:{POSTGRES}")], [Answer(question=question, said=None, error=f"rc 2: {error}")])

    assert judged.verdict is Verdict.MET


@pytest.mark.parametrize("said", ["NOAUTH Authentication required.", None])
def test_a_database_that_declines_to_tell_speaks_neither_for_nor_against(said: str | None) -> None:
    question = asked(EvidenceBuilder(), f"redis:{REDIS}")[0]
    error = None if said else 'rc 127: exec: "redis-cli": executable file not found in $PATH'
    [judged] = judge_answers([finding(f"redis:{REDIS}")], [Answer(question=question, said=said, error=error)])

    assert judged.verdict is Verdict.MET
    assert judged.reason == f"as it was seen; by the evidence alone, the second witness was told {said or error!r}"


def test_a_database_that_can_t_be_reached_is_doubted() -> None:
    question = asked(EvidenceBuilder(), f"redis:{REDIS}")[0]
    answer = Answer(question=question, said=None, error="rc 1: Could not connect to Redis")

    assert judge_answers([finding(f"redis:{REDIS}")], [answer])[0].verdict is Verdict.UNKNOWN


def test_the_guard_s_lines_are_looked_for_in_what_systemd_reads() -> None:
    builder = EvidenceBuilder()
    own = {"path": "/etc/systemd/system/docker.service.d/own.conf", "text": "[Service]\nExecStartPre=/bin/login --password=***\n", "mtime": 1.0}
    builder.probes["units"]["docker.service"]["drop_ins"].append(own)
    lines = next(one for one in asked(builder, "boot.guard") if "cat" in one.argv)
    text = f"# a file\n[Unit]\nDescription=Docker\n{lines.expect}\n"

    assert "password" not in lines.expect
    assert lines.agrees(text)
    assert not lines.agrees(text.replace("AssertPathIsMountPoint=/mnt/data", "#AssertPathIsMountPoint=/mnt/data"))


def test_what_was_retired_is_asked_for_by_name() -> None:
    builder = EvidenceBuilder()
    builder.probes["target_state"]["retired"] = [RETIRED | {"exists": False}]
    [gone] = asked(builder, "retired:*")
    builder.probes["target_state"]["retired"] = [RETIRED]
    [there] = asked(builder, "retired:/var/lib/docker.retired", Verdict.DRIFTED)

    assert (gone.argv, gone.expect) == (there.argv, "")
    assert there.expect == "/var/lib/docker.retired"
    # Half emptied in its place it is there by its own name, once.
    left = {"aside": RETIRED["path"], "run": "CAP-9", "entries": 1, "size": 1}
    builder.probes["target_state"]["retired"] = [RETIRED | {"exists": False, "fingerprint": None, "purging": left}]
    [half] = asked(builder, "retired:/var/lib/docker.retired", Verdict.DRIFTED)
    assert (half.argv, half.expect) == (there.argv, there.expect)


def test_a_healthy_host_is_judged_the_same_when_everything_is_confirmed() -> None:
    evidence, desired = EvidenceBuilder().build(), desired_mint_data()
    findings = judge_host(desired, evidence, now=COLLECTED + timedelta(minutes=1), max_age=timedelta(hours=1))
    answers = [Answer(question=one, said=f"{one.pick}{one.expect}", error=None) for one in questions_for(desired, evidence, findings)]

    assert judge_answers(findings, answers) == findings


# What needs no machine of its own is asked of this one.


def live(*questions: Question) -> list[Answer]:
    return list(TestinfraWitness().answer([InventoryHost(name="mint-data", variables={"ansible_connection": "local"})], questions))


def test_this_machine_says_how_full_it_is_and_what_is_there(tmp_path: Path) -> None:
    builder = EvidenceBuilder()
    (tmp_path / "left").mkdir()
    builder.probes["target_state"]["retired"] = [RETIRED | {"path": f"{tmp_path}/left"}, RETIRED | {"path": f"{tmp_path}/gone", "exists": False}]
    [used] = asked(builder, "boot.usage")
    [left] = asked(builder, f"retired:{tmp_path}/left", Verdict.DRIFTED)
    [nothing] = asked(builder, "retired:*")
    told = live(used.model_copy(update={"expect": "100"}), used.model_copy(update={"expect": "0"}), left, nothing)

    assert [answer.question.agrees(answer.said) for answer in told] == [True, False, True, True]


def test_a_file_over_the_limit_is_found_and_a_smaller_one_is_not(tmp_path: Path) -> None:
    for name, size in (("large", 10_000_001), ("small", 10_000_000)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    told = live(*(asked(EvidenceBuilder(), f"tmp:{tmp_path}/{name}", Verdict.DRIFTED)[0] for name in ("large", "small")))

    assert [answer.question.agrees(answer.said) for answer in told] == [True, False]


@pytest.mark.parametrize(("listing", "agreed"), [("echo id1 id2", True), ("exit 1", False), (":", True)])
def test_every_container_is_asked_or_none_is_confirmed(listing: str, agreed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nif test "$1" = ps; then {listing}; else echo "/{REDIS} /data /mnt/data/mint-data/redis"; fi\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    [answer] = live(*asked(EvidenceBuilder(), "unlisted:*"))

    assert answer.question.agrees(answer.said) is agreed


@pytest.mark.parametrize(("at", "agreed"), [("", False), ("n/a", False), ("5000000", True)])
def test_a_boot_that_systemd_does_not_date_confirms_nothing(at: str, agreed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\necho '{at}'\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    builder = EvidenceBuilder()
    builder.probes["identity"]["boot_epoch"] = 1.0
    [answer] = live(*(one for one in asked(builder, "reboot.proof") if "UserspaceTimestampMonotonic" in one.argv[-1]))

    assert answer.question.agrees(answer.said) is agreed
