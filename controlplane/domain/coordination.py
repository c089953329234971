"""What several controllers share: who holds a wave, and how gate runs ended. Times are UTC, such as 2026-01-01T00:00:00Z."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controlplane.domain.names import Line, check_name
from controlplane.domain.values import Value

_STAMP = "%Y-%m-%dT%H:%M:%SZ"
# No clock of a computer is before it begins to count.
_FIRST, _LAST = 1970, 9990


def stamp_of(moment: datetime) -> str:
    """Return the moment as text, cut to seconds. ValueError for one without a timezone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no timezone")
    return moment.astimezone(UTC).strftime(_STAMP)


def moment_of(stamp: str) -> datetime:
    """Return the moment that the text names."""
    return _moment(stamp)


# The same few are asked for of thousands of places.
@lru_cache(maxsize=4096)
def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


def _stamp(text: str) -> str:
    moment = moment_of(check_name(text, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "time"))
    # Minutes and days are added to times and taken from them, which must not leave what a datetime holds.
    if not _FIRST <= moment.year <= _LAST:
        raise ValueError(f"{text} is no time of a clock: its year has to be one from {_FIRST} to {_LAST}")
    return text


Stamp = Annotated[str, AfterValidator(_stamp)]


class WaveHeld(Value):
    """One attempt at a wave, as the store has it.

    `token` is new with each taking and grows over the whole store; `version` grows with each taking and each write of the attempt. `record` is
    JSON. `ended_at` is None as long as the attempt goes on, with or without a live lease.
    """

    wave: Line
    state: Line
    mutating: bool
    holder: Line
    token: int = Field(ge=1)
    expires_at: Stamp
    record: dict[str, Any]
    version: int = Field(ge=1)
    opened_at: Stamp
    taken_at: Stamp
    ended_at: Stamp | None = None

    def leased(self, at: datetime) -> bool:
        """Say whether the lease lasts at that time."""
        return self.ended_at is None and at < moment_of(self.expires_at)


class GateResult(Value):
    """What one check said of one host in a gate run; `checker` is the digest of what judged it.

    `elsewhere`: whose run it was holds its receipt, and here nothing shows that it passed. It counts for nothing and ends nothing.
    """

    check: Line
    host: Line
    checker: Line
    verdict: Literal["MET", "DRIFTED", "WAIVED", "UNKNOWN"]
    passed: bool
    reason: str
    elsewhere: bool = False


class GateRun(Value):
    """One run of a pack: what it was judged by (digests of policy and hosts), and a result for each check and host."""

    run: Line
    at: Stamp
    pack: Line
    policy: Line
    hosts: dict[str, str]
    results: tuple[GateResult, ...]

    @model_validator(mode="after")
    def _one_result_each(self) -> Self:
        places = Counter((one.check, one.host) for one in self.results)
        twins = sorted(f"{check} on {host}" for (check, host), count in places.items() if count > 1)
        if twins:
            raise ValueError(f"run {self.run} has two results of {', '.join(twins)}")
        return self
