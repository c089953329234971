"""What `doctor` found: each point is pass, warn or fail, with what was seen and what to do."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from controlplane.domain.values import Value

Level = Literal["pass", "warn", "fail"]


class Upstream(NamedTuple):
    """How the site's branch stands to its upstream, as that was when somebody last fetched; `fetched` None where that can't be told.

    `is_here`: the upstream is a branch of this very repository, which nobody has to fetch.
    """

    ahead: int
    behind: int
    fetched: datetime | None
    is_here: bool


class Point(Value):
    """One point of an examination."""

    name: str
    level: Level
    told: str


class Examination(Value):
    """All points. A site is GOVERNED where none fails; a warning is told and does not make it DRIFT."""

    site: str
    points: tuple[Point, ...]
    passed: int
    warned: int
    failed: int
    verdict: Literal["GOVERNED", "DRIFT"]

    def exit_code(self) -> int:
        """Return 1 where a point fails, else 0."""
        return 1 if self.failed else 0


def examined(site: str, points: tuple[Point, ...]) -> Examination:
    """Return the examination with its counts and its verdict."""
    count = {level: sum(1 for point in points if point.level == level) for level in ("pass", "warn", "fail")}
    verdict: Literal["GOVERNED", "DRIFT"] = "DRIFT" if count["fail"] else "GOVERNED"
    return Examination(site=site, points=points, passed=count["pass"], warned=count["warn"], failed=count["fail"], verdict=verdict)
