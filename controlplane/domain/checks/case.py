"""What a check asks, what it decides on and how it answers.

Rules:
- Which questions there are follows from the desired state alone, so that a host that could not be reached is UNKNOWN on each of them.
- A question that meets `Unobserved` is UNKNOWN; no check catches it to go on as if nothing had happened.
- A surface that ends in `*` stands for a whole class of things that only the host can name: it is MET when none of them drifts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from controlplane.domain.desired import DesiredHost
from controlplane.domain.docker_presence import is_without_docker
from controlplane.domain.evidence import Evidence, Reader, Unobserved
from controlplane.domain.evidence_shapes.disks import Usage
from controlplane.domain.evidence_shapes.docker import Container
from controlplane.domain.finding import Severity, Verdict
from controlplane.domain.lineage import Lineage


class Answer(NamedTuple):
    """One verdict; `severity` None takes the check's own."""

    verdict: Verdict
    reason: str
    severity: Severity | None = None


class Named(NamedTuple):
    """An answer for a surface that the host itself named."""

    surface: str
    answer: Answer


class Case:
    """One host's desired state and evidence, with what several checks would work out again."""

    def __init__(self, desired: DesiredHost, evidence: Evidence, *, general: bool = False) -> None:
        self.desired = desired
        self.evidence = evidence
        self.general = general
        self.reader = Reader(evidence)
        self.lineage = Lineage(self.reader, desired.disks)

    @cached_property
    def taken(self) -> datetime:
        """When the evidence was collected: ages are relative to it, so that a later judgement reads the same."""
        return self.evidence.taken()

    @cached_property
    def without_docker(self) -> bool:
        """Whether the host positively showed that Docker is not installed. Raises `Unobserved` where what it showed contradicts itself."""
        return is_without_docker(self.reader)

    @cached_property
    def containers(self) -> dict[str, Container]:
        """Return every container by name, also stopped ones; none where Docker is not installed."""
        if self.without_docker:
            return {}
        return {container["name"]: container for container in self.reader.containers}


Ask = Callable[[Case], Answer | Sequence[Named]]


class Question(NamedTuple):
    """One surface and how to judge it."""

    surface: str
    ask: Ask


def always(desired: DesiredHost) -> bool:  # noqa: ARG001 - what most checks answer
    """Say that a check is judged of every host."""
    return True


@dataclass(frozen=True)
class Check:
    """One invariant. `severity` is what an UNKNOWN or MET of it weighs; `by_default` says of which hosts it is judged without being named."""

    id: str
    title: str
    severity: Severity
    questions: Callable[[DesiredHost, bool], Iterator[Question]]
    by_default: Callable[[DesiredHost], bool] = always


def met(reason: str = "as declared") -> Answer:
    """Answer that the invariant holds."""
    return Answer(Verdict.MET, reason)


def drifted(reason: str, severity: Severity | None = None) -> Answer:
    """Answer that it does not."""
    return Answer(Verdict.DRIFTED, reason, severity)


def unknown(reason: str) -> Answer:
    """Answer that it can't be told."""
    return Answer(Verdict.UNKNOWN, reason)


def all_or(surface: str, named: Sequence[Named], otherwise: str) -> Sequence[Named]:
    """Return the named answers, or one MET for the whole class if there are none."""
    return named or [Named(surface, met(otherwise))]


class Fill(NamedTuple):
    """How full a filesystem is, in percent of what an unprivileged process may use; inodes are 0 where it has no fixed number."""

    used: float
    inodes: float

    def __str__(self) -> str:
        return f"{self.used:.1f}% of bytes and {self.inodes:.1f}% of inodes used"


def fill_of(usage: dict[str, Usage], mountpoint: str) -> Fill:
    """Return how full a mounted filesystem is. Raises `Unobserved` for numbers that no filesystem has."""
    seen = usage.get(mountpoint)
    if seen is None:
        raise Unobserved(f"the usage of {mountpoint} was not observed")
    size, free, available, inodes, inodes_free = seen["size"], seen["free"], seen["available"], seen["inodes"], seen["inodes_free"]
    if not (0 <= available <= free <= size and size > 0 and 0 <= inodes_free <= inodes):
        raise Unobserved(f"the usage of {mountpoint} makes no sense (size {size}, free {free}, available {available}, inodes {inodes}/{inodes_free})")
    used = size - free
    # As df does it: what is reserved for root counts neither as used nor as usable.
    return Fill(100 * used / ((used + available) or 1), 100 * (inodes - inodes_free) / inodes if inodes else 0.0)
