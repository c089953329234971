"""Whatever a probe does, doubt never passes: each finding that rests on it becomes UNKNOWN."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.domain.checks import CHECKS, answers, judge_host
from controlplane.domain.checks.case import Case
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import NfsMount
from controlplane.domain.evidence import Evidence, Reader, Unreached
from controlplane.domain.evidence_shapes import SHAPES
from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.releases.wanted import ServiceWanted
from controlplane.domain.services import WriteSurface
from tests.fakes.evidence_builder import COLLECTED, MINIO, EvidenceBuilder, bind, desired_mint_data, mount, place
from tests.fakes.machine_builder import brought_up, settle
from tests.fakes.plain import copied
from tests.fakes.release_builder import release_wanted, running

NOW = COLLECTED + timedelta(minutes=1)
RELEASE = release_wanted(services={"web": ServiceWanted(), "db": ServiceWanted()})
HOUR = timedelta(hours=1)


def full_host() -> EvidenceBuilder:
    """Return a healthy host on which every kind of surface is judged."""
    builder = EvidenceBuilder()
    entry = {"line": 2, "spec": "nas:/x", "file": "/mnt/nas", "vfstype": "nfs", "options": ["rw", "nofail", "_netdev"], "freq": 0, "passno": 0}
    builder.probes["fstab"]["entries"].append(entry)
    builder.probes["mounts"].append(mount("/mnt/nas", "0:50", "nfs4", source="nas:/x"))
    builder.container(MINIO)["mounts"].append(bind("/mnt/data/uploads", "/tmp/up"))
    builder.probes["surfaces"] = {"sizes": {"/mnt/data/uploads": 1_000_000}}
    builder.probes["paths"]["/mnt/data/uploads"] = place("/mnt/data/uploads", "254:16", "/mnt/data")
    settle(builder)
    return running(builder, RELEASE)


def full_desired() -> DesiredHost:
    surface = WriteSurface(container=MINIO, path="/tmp/up", place="/mnt/data/uploads", max_size=5_000_000)
    return desired_mint_data(nfs=(NfsMount(source="nas:/x", mount="/mnt/nas"),), write_surfaces=(surface,), machine=brought_up(), releases=(RELEASE,))


def findings(evidence: Evidence | Unreached, *, general: bool = False) -> dict[tuple[str, str], Finding]:
    desired = DesiredHost.general("mint-data") if general else full_desired()
    judged = judge_host(desired, evidence, now=NOW, max_age=HOUR, general=general)
    return {(finding.check, finding.surface): finding for finding in judged}


@cache
def findings_of_the_healthy(*, general: bool) -> dict[tuple[str, str], Finding]:
    return findings(full_host().build(), general=general)


@cache
def probes_read(*, general: bool) -> dict[tuple[str, str], set[str]]:
    """Return which probes each finding of the healthy host rests on, by watching what is read."""
    desired = DesiredHost.general("mint-data") if general else full_desired()
    read: dict[tuple[str, str], set[str]] = {}
    for check in CHECKS.values():
        for question in check.questions(desired, general):
            case = Case(desired, full_host().build(), general=general)
            watched: set[str] = set()
            case.reader = case.lineage._reader = _Watching(case.evidence, watched)
            for surface, _ in answers(case, question):
                read[check.id, surface] = watched
    return read


class _Watching(Reader):
    def __init__(self, evidence: Evidence, watched: set[str]) -> None:
        super().__init__(evidence)
        self._watched = watched

    def _get(self, probe: str) -> Any:
        self._watched.add(probe)
        return super()._get(probe)


def _garbage_type(builder: EvidenceBuilder, probe: str) -> None:
    builder.probes[probe] = "garbage \x00"


def _garbage_field(builder: EvidenceBuilder, probe: str) -> None:
    data = builder.probes[probe]
    builder.probes[probe] = [*data, {"nonsense": 1}] if isinstance(data, list) else {**data, "nonsense": None}


SPOILERS: dict[str, Callable[[EvidenceBuilder, str], Any]] = {
    "missing": lambda builder, probe: builder.lose(probe),
    "failed": lambda builder, probe: builder.fail(probe),
    "timeout": lambda builder, probe: builder.fail(probe, "timeout", "no answer after 10 s"),
    "absent where it can't be": lambda builder, probe: builder.fail(probe, "absent", "not there"),
    "null": lambda builder, probe: builder.probes.__setitem__(probe, None),
    "garbage": _garbage_type,
    "a stray field": _garbage_field,
}


def test_the_healthy_host_is_met_on_every_surface() -> None:
    for general in (False, True):
        for finding in findings(full_host().build(), general=general).values():
            assert finding.verdict is Verdict.MET, finding


def test_every_probe_that_holds_state_is_read_by_some_check() -> None:
    read = set().union(*probes_read(general=False).values())
    # Images, volumes and what moves are there for plans; checks read them where a mount lands nowhere on the host.
    assert set(SHAPES) - read == {"docker_images", "docker_store", "docker_volumes", "sources"}


@pytest.mark.parametrize("general", [False, True], ids=["policy", "general"])
@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("probe", SHAPES)
def test_a_probe_that_fails_turns_its_findings_unknown(probe: str, spoiler: str, general: bool) -> None:
    rests_on = probes_read(general=general)
    builder = full_host()
    SPOILERS[spoiler](builder, probe)
    judged = findings(builder.build(), general=general)
    before = findings_of_the_healthy(general=general)
    assert not [key for key in before if key not in judged and probe not in rests_on[key]]
    for key, finding in judged.items():
        if probe in rests_on.get(key, ()):
            assert finding.verdict is Verdict.UNKNOWN, finding
            assert finding.reason
        elif key in before:
            assert finding == before[key]


def test_what_rests_on_a_failed_probe_says_which_and_why(healthy: EvidenceBuilder) -> None:
    judged = findings(healthy.fail("docker_containers", "timeout", "no answer after 10 s").build())
    assert judged["D236", f"service:{MINIO}"].reason == "docker_containers: timeout: no answer after 10 s"


def test_a_host_that_was_not_reached_is_unknown_on_every_surface_of_its_policy() -> None:
    judged = findings(Unreached(host="mint-data", reason="connection refused"))
    assert set(judged) == set(findings(full_host().build()))
    for finding in judged.values():
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.reason == "the host was not reached: connection refused"


@pytest.mark.parametrize(
    ("collected_at", "reason"),
    [
        ("2026-01-02T10:00:00Z", "the evidence is 2 h 1 min old, limit 1 h"),
        ("2026-01-02T13:00:00Z", "the evidence is from the future, by 59 min"),
        ("yesterday", "when the evidence was collected can't be read: 'yesterday'"),
        ("2026-01-02T12:00:00", "when the evidence was collected can't be read: '2026-01-02T12:00:00'"),
    ],
)
def test_evidence_of_another_time_is_unknown_on_every_surface(collected_at: str, reason: str) -> None:
    for finding in findings(full_host().build(collected_at=collected_at)).values():
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.reason == reason


def _leaves(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(data, dict):
        return [leaf for key, value in data.items() for leaf in _leaves(value, (*path, key))]
    if isinstance(data, list):
        return [leaf for index, value in enumerate(data) for leaf in _leaves(value, (*path, index))] or [path]
    return [path]


PLAIN = full_host().probes
LEAVES = [leaf for leaf in _leaves(PLAIN) if len(leaf) > 1]
NONSENSE = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.just(10**30), st.just(-1.0), st.text(max_size=6), st.just([]), st.just({}))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(LEAVES), NONSENSE, st.booleans())
def test_nonsense_in_any_one_value_never_escapes_as_an_exception(leaf: tuple[Any, ...], value: Any, general: bool) -> None:
    builder = full_host()
    builder.probes = copied(PLAIN)
    target = builder.probes
    for step in leaf[:-1]:
        target = target[step]
    target[leaf[-1]] = value
    assert findings(builder.build(), general=general)
