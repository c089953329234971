"""Run a release's smoke tests: the site's plain pytest files, against a running stack.

Rules:
- Only a test that ran and passed is one. A test that was skipped, expected to fail, left out, or not begun because the time was over is none.
- A file that can't be read, that holds no test, or that ends its process is an error, whatever the other files say.
- A test that returns something instead of asserting it fails, and a class that pytest passes over makes its file unreadable.
- Of a message its first line is kept, and no value of an environment file or of a variable of the shell that sounds secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from controlplane.adapters.shell_secrets import shell_secrets
from controlplane.adapters.site_pytest import Ended, Ran, run_pytest
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.releases.hiding import hide
from controlplane.domain.releases.smoke import SmokeTest
from controlplane.domain.releases.values import Smoke

Outcome = Literal["passed", "failed", "skipped", "error"]
_LONGEST = 300
# Unabridged values in messages: half a secret would not be known as one.
_OPTIONS = ("-vv", "-p", "controlplane.adapters.smoke_plugin")
_STRICT = ("-W", "error::pytest.PytestReturnNotNoneWarning", "-W", "error::pytest.PytestCollectionWarning")


class PytestSmokeRunner:
    """Runs the smoke tests of one site folder."""

    def __init__(self, folder: Path, known_hosts: Path | None = None) -> None:
        self._site, self._known_hosts = folder.resolve(), known_hosts

    def run(
        self,
        smoke: Smoke,
        hosts: Sequence[InventoryHost],
        *,
        release: Mapping[str, str],
        hidden: Sequence[str],
        progress: Callable[[str], None],
    ) -> tuple[SmokeTest, ...]:
        """Return how each test ended; tests that could not be collected, or none at all, are one test that is an error."""
        root = self._site / "releases"
        telling = _Telling(smoke, root, (*hidden, *shell_secrets()))
        ran = run_pytest(
            self._site,
            smoke.files,
            root=root,
            given={
                "hosts": {one.name: one.model_dump(mode="json") for one in hosts},
                "known_hosts": str(self._known_hosts or ""),
                "urls": smoke.urls,
                "release": dict(release),
            },
            limit_s=smoke.within,
            options=(*_OPTIONS, *_STRICT),
            hear=lambda test: progress(telling.line(test)),
        )
        return telling.of(ran)


class _Telling:
    """Says what became of each test, in words that may be shown."""

    def __init__(self, smoke: Smoke, root: Path, secrets: Sequence[str]) -> None:
        self._smoke, self._root, self._secrets = smoke, root, secrets
        self._over = f"the time of {smoke.within} s for all tests was over"
        bases = [Path(file).name for file in smoke.files]
        self._is_short = len(set(bases)) == len(bases)

    def line(self, test: Ended) -> str:
        """Return the line that tells its end while the others go on."""
        told = self._test(test, "")
        return f"  {told.name}{f' on {told.host}' if told.host else ''}: {told.outcome}"

    def of(self, ran: Ran) -> tuple[SmokeTest, ...]:
        """Return what all of them come to."""
        found = [self._error(one.file, one.reason, "skipped" if one.outcome == "skipped" else "error") for one in ran.broken]
        found += [self._test(test, self._why_not(ran, test)) for test in ran.tests]
        if ran.whole and ran.code in (0, 5):
            found += [self._error(file, "holds no test") for file in self._empty(ran)]
        if all(test.outcome == "passed" for test in found) and (ran.code != 0 or not ran.whole):
            # What is there says nothing of what is not.
            ended = f"was not run to its end (pytest {ran.code}): {self._shown(ran.said)[-_LONGEST:]}"
            found.append(self._error(self._smoke.files[0], f"did not end: {self._over}" if ran.code is None else ended))
        return tuple(found)

    def _why_not(self, ran: Ran, test: Ended) -> str:
        """Return why a test did not end."""
        if ran.code is None:
            return self._over
        if not ran.whole:
            return f"pytest ended {'while it ran' if test.begun else 'before'} ({ran.code})"
        return "another file can't be read" if any(one.outcome == "error" for one in ran.broken) else "it was left out"

    def _empty(self, ran: Ran) -> list[str]:
        files = [test.file for test in ran.tests] + [one.file.partition("::")[0] for one in ran.broken]
        read = [(self._root / file).resolve() for file in files]
        return [file for file in self._smoke.files if not any((self._root / file).resolve() in (path, *path.parents) for path in read)]

    def _test(self, test: Ended, why_not: str) -> SmokeTest:
        said = next((line for line in test.reason.splitlines() if line.strip()), "")
        outcome: Outcome = "error"
        if test.outcome in ("passed", "failed", "skipped"):
            outcome, reason = cast(Outcome, test.outcome), said
        elif test.outcome == "error":
            # An exception in the test itself, such as an answer that is none, is the stack's failure; in what a test needs, or on the way to a
            # machine, it is doubt.
            outcome = "failed" if test.phase == "call" and test.reached else "error"
            reason = f"{test.fault}: {said}" if test.fault else said
        else:
            reason = f"{'did not end' if test.begun else 'was not run'}: {why_not}"
        name = self._shown(f"{self._file(test.file)}::{test.name}")
        return SmokeTest(name=name, outcome=outcome, reason=self._shown(reason)[:_LONGEST], seconds=test.seconds, host=test.host)

    def _error(self, file: str, reason: str, outcome: Outcome = "error") -> SmokeTest:
        return SmokeTest(name=self._shown(self._file(file)), outcome=outcome, reason=self._shown(reason)[:_LONGEST])

    def _file(self, file: str) -> str:
        return Path(file).name if self._is_short else file

    def _shown(self, text: str) -> str:
        """Return text on one line, without secrets and control characters."""
        plain = "".join(letter if letter.isprintable() else " " for letter in hide(text, self._secrets))
        return " ".join(plain.split())
