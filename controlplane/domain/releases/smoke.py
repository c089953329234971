"""How a smoke run and a recertification ended, as receipts and JUnit files have it."""

from __future__ import annotations

from typing import Annotated, Literal

from controlplane.domain.names import AsTuple
from controlplane.domain.values import Value


class SmokeTest(Value):
    """One test; `error` is one that could not be run. `host` is the machine that it looked at, empty where it looked at none."""

    name: str
    outcome: Literal["passed", "failed", "skipped", "error"]
    reason: str = ""
    seconds: float = 0.0
    host: str = ""


class SmokeReport(Value):
    """One smoke run of a manifest (by digest and name) in one environment. Only `passed` of every test is a pass: a skipped step proves nothing."""

    run: str
    stack: str
    environment: str
    manifest: str
    manifest_name: str
    at: str
    tests: Annotated[tuple[SmokeTest, ...], AsTuple]
    # Why the whole run proves nothing, whatever its tests say: other images ran than the manifest's, or they changed meanwhile.
    doubt: str | None = None

    @property
    def passed(self) -> bool:
        """Say whether it proves the release: every test passed, there was one, and it was this release that they met."""
        return self.doubt is None and bool(self.tests) and all(test.outcome == "passed" for test in self.tests)


class CommandRan(Value):
    """One command of the recertification: its exit code, None where it did not end by itself, and its last lines."""

    name: str
    argv: Annotated[tuple[str, ...], AsTuple]
    code: int | None
    seconds: float
    tail: str = ""
