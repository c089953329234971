"""A Redis that would come up without its keys is told before anything stops it."""

from __future__ import annotations

import pytest

from controlplane.domain.checks.restart import lost_by_restart
from controlplane.domain.evidence import Reader, Unobserved
from tests.fakes.evidence_builder import REDIS, EvidenceBuilder


def _builder(running: str | None = "yes", persisted: str | None = "yes") -> EvidenceBuilder:
    builder = EvidenceBuilder()
    state = builder.probes["redis"][REDIS]
    for settings, value in ((state["running"], running), (state["persisted"], persisted)):
        settings.pop("appendonly")
        if value is not None:
            settings["appendonly"] = value
    return builder


def _told(builder: EvidenceBuilder, **given: str | tuple[str, ...]) -> tuple[str, ...]:
    return lost_by_restart(Reader(builder.build()), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("running", "persisted", "word"),
    [
        ("yes", "yes", None),
        ("no", "no", None),
        ("no", None, None),
        ("no", "yes", "AOF is off while it runs and on at its next start, which would load nothing, or what is stale"),
        ("yes", "no", "AOF is on while it runs and off at its next start, which would load its last dump"),
        ("yes", None, "AOF is on while it runs and off at its next start"),
    ],
)
def test_running_and_persisted_have_to_agree(running: str, persisted: str | None, word: str | None) -> None:
    told = _told(_builder(running, persisted))
    assert len(told) == (0 if word is None else 1)
    assert all(one.startswith(f"{REDIS}: {word}") and "redis.durability" in one for one in told)


def test_one_that_does_not_run_loses_nothing() -> None:
    builder = _builder("no", "yes")
    builder.container(REDIS).update(running=False, state="exited")
    assert _told(builder) == ()


def test_only_the_one_that_was_asked_for() -> None:
    assert _told(_builder("no", "yes"), only="another") == ()
    assert len(_told(_builder("no", "yes"), only=REDIS)) == 1


@pytest.mark.parametrize("gone", ["reachable", "running", "persisted_from"])
def test_of_a_governed_one_it_has_to_be_known_and_of_others_doubt_is_no_reason(gone: str) -> None:
    builder = _builder("no", "yes")
    state = builder.probes["redis"][REDIS]
    state[gone] = {"reachable": False, "running": {}, "persisted_from": None}[gone]
    assert _told(builder) == ()
    with pytest.raises(Unobserved, match=f"whether {REDIS} would keep its keys over a restart"):
        _told(builder, governed=(REDIS,))
