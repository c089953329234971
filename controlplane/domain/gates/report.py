"""What a run of gates answers: the JSON of an audit, and beyond it the run's key and which checks pass on which hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field

from controlplane.domain.digest import digest_of
from controlplane.domain.finding import AuditReport, Verdict
from controlplane.domain.gates.passing import Passing
from controlplane.domain.waiver_ends import WaiverEnd

# What is not said is left out of the digest, so that reports from before it could be said keep theirs.
_UNSAID = ("checkers", "facts", "ended", "more")


def digest_of_report(plain: Mapping[str, Any]) -> str:
    """Return the digest of a report as plain JSON."""
    return digest_of({name: value for name, value in plain.items() if value or name not in _UNSAID})


class GateReport(AuditReport):
    """`run` is the key under which it is on record; `passing` says of each check and host whether it passes in its mode, and why not.

    `silent` are checks of the pack that had nothing to ask of these hosts; `checkers` are the digests of what judged each of the others, and
    `facts` those of what each host was. `ended` are waivers of which it saw a limit crossed, first of all runs. `more` are checks that are none of
    the pack's, and that were judged with it because gates of a wave name them: how the pack stands they say nothing of.
    """

    run: str
    pack: str
    passing: tuple[Passing, ...]
    silent: tuple[str, ...] = ()
    checkers: dict[str, str] = Field(default={})
    facts: dict[str, str] = Field(default={})
    ended: tuple[WaiverEnd, ...] = ()
    more: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return the digest that its receipt holds."""
        return digest_of_report(self.model_dump(mode="json"))

    def exit_code(self) -> int:
        """Return 5 if anything is UNKNOWN, else 3 if a check that is enforced drifts, else 0."""
        if self.summary.unknown:
            return 5
        return 3 if any(one.verdict is Verdict.DRIFTED and one.mode == "enforce" for one in self.findings) else 0

    def not_passed(self, checks: Sequence[str] | None = None, hosts: Sequence[str] | None = None) -> tuple[Passing, ...]:
        """Return what did not pass, of these checks and hosts or of all."""
        return tuple(
            one for one in self.passing if not one.passed and (checks is None or one.check in checks) and (hosts is None or one.host in hosts)
        )

    def pack_not_passed(self) -> tuple[Passing, ...]:
        """Return what did not pass of the pack's own checks."""
        return tuple(one for one in self.not_passed() if one.check not in self.more)


class ReportHead(NamedTuple):
    """A report without its findings, and the digest of all of it: what a streak is made of, and what shows that it is the one that was recorded."""

    report: GateReport
    digest: str
