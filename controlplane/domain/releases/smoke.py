"""How a smoke run and a recertification ended, as receipts and JUnit files have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

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
    """One smoke run of a manifest (by digest and name) in one environment. Only `passed` of every test is a pass: a skipped step proves nothing.

    `files` are those that decided what was asked, by their paths below releases/, each with its SHA-256; `urls` are the addresses that were asked.
    """

    run: str
    stack: str
    environment: str
    manifest: str
    manifest_name: str
    at: str
    tests: Annotated[tuple[SmokeTest, ...], AsTuple]
    files: dict[str, str] = Field(default={})
    urls: dict[str, str] = Field(default={})
    # Why the whole run proves nothing, whatever its tests say: other images ran than the manifest's, or they changed meanwhile.
    doubt: str | None = None

    @property
    def passed(self) -> bool:
        """Say whether it proves the release: every test passed, there was one, and it was this release that they met."""
        return self.doubt is None and bool(self.tests) and all(test.outcome == "passed" for test in self.tests)

    @property
    def why_not(self) -> str | None:
        """Return why it proves nothing, None where it passed: the doubt first, which makes the tests' own answers worthless."""
        told = [
            f"{test.name}{f' on {test.host}' if test.host else ''}: {test.outcome}: {test.reason}" for test in self.tests if test.outcome != "passed"
        ]
        told = [*([] if self.doubt is None else [self.doubt]), *told]
        return None if self.passed else "; ".join(told) or "no test was run"

    def exit_code(self) -> int:
        """Return 0 where it passed, 5 where something is in doubt, 1 where the stack did not do what a test wants."""
        if self.passed:
            return 0
        failed = any(test.outcome == "failed" for test in self.tests)
        return 1 if failed and self.doubt is None else 5


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the paths of the files that differ, are gone, or are new, sorted."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


class CommandRan(Value):
    """One command of the recertification, with the folder that the release names for it: its exit code, None where it did not end by itself, and its
    last lines."""

    name: str
    argv: Annotated[tuple[str, ...], AsTuple]
    dir: str | None = None
    code: int | None
    seconds: float
    tail: str = ""


class RecertReport(Value):
    """One recertification of a manifest: every command in its order, also after one that failed."""

    run: str
    stack: str
    manifest: str
    manifest_name: str
    commit: str
    at: str
    commands: Annotated[tuple[CommandRan, ...], AsTuple]

    @property
    def passed(self) -> bool:
        """Say whether every command ended well, and there was one."""
        return bool(self.commands) and all(command.code == 0 for command in self.commands)

    def exit_code(self) -> int:
        """Return 0 where it passed, 1 where a command failed, 5 where one did not end by itself."""
        if self.passed:
            return 0
        return 1 if any(command.code for command in self.commands) else 5
