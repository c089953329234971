"""What the use cases of releases need from the world."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from controlplane.domain.errors import Fault
from controlplane.domain.faults import Place
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.releases.compose_said import ComposeFile
from controlplane.domain.releases.contract import Contract
from controlplane.domain.releases.leaks import Looked
from controlplane.domain.releases.lease import ReleaseHeld
from controlplane.domain.releases.manifest import Manifest
from controlplane.domain.releases.smoke import CommandRan, SmokeTest
from controlplane.domain.releases.values import EnvironmentName, Recert, ReleaseSpec, Smoke
from controlplane.domain.releases.wanted import ComposeText


class KeptManifest(NamedTuple):
    """One manifest of a stack: the name of its file without `.yml`, and what it says."""

    name: str
    manifest: Manifest


class ReleaseFiles(Protocol):
    """The files below a site's releases/. Each method raises `InputInvalidError` with every fault, file and line, of what it reads."""

    def stacks(self) -> tuple[str, ...]:
        """Return the names of the stacks, sorted; a file that can't be read has a name all the same."""
        ...

    def spec(self, stack: str) -> ReleaseSpec:
        """Return what releases/STACK.yml says."""
        ...

    def manifests(self, stack: str) -> tuple[KeptManifest, ...]:
        """Return the stack's manifests, the one that was built first first."""
        ...

    def manifest(self, stack: str, name: str) -> KeptManifest:
        """Return one manifest by its name."""
        ...

    def compose(self, stack: str, environment: EnvironmentName) -> tuple[ComposeText, ...]:
        """Return the compose files of an environment, in their order, by their names in the stack's folder."""
        ...

    def env_digest(self, stack: str, environment: EnvironmentName) -> str:
        """Return the keyed digest of the real environment file; the key is this site's own and never leaves its state folder."""
        ...

    def env_text(self, stack: str, environment: EnvironmentName) -> str:
        """Return the text of the real environment file, secrets and all: for the role alone."""
        ...

    def smoke_digests(self, stack: str, environment: EnvironmentName) -> dict[str, str]:
        """Return the SHA-256 of each file that decides what an environment's smoke tests ask, by its path below releases/."""
        ...

    def mark_tested(self, stack: str, name: str, run: str) -> None:
        """Write into a manifest by which run it was tested; every other byte stays."""
        ...


class CheckedFiles(Protocol):
    """The same files as they are judged before anything is deployed. Methods raise `InputInvalidError` as those of `ReleaseFiles` do."""

    def stacks(self) -> tuple[str, ...]:
        """Return the names of the stacks, sorted."""
        ...

    def spec(self, stack: str) -> ReleaseSpec:
        """Return what releases/STACK.yml says."""
        ...

    def manifests(self, stack: str) -> tuple[KeptManifest, ...]:
        """Return the stack's manifests, the one that was built first first."""
        ...

    def parsed(self, stack: str, environment: EnvironmentName) -> tuple[ComposeFile, ...]:
        """Return the compose files of an environment as data, in their order."""
        ...

    def contract(self, stack: str, environment: EnvironmentName) -> Contract:
        """Return what the environment file has to hold."""
        ...

    def env_file(self, stack: str, environment: EnvironmentName) -> str:
        """Return the path of the real environment file, from the site's folder."""
        ...

    def env_seen(self, stack: str, environment: EnvironmentName) -> tuple[str | None, tuple[Fault, ...]]:
        """Return the text of the real environment file, None where there is none to be read, and what is wrong with the file as such."""
        ...

    def fault(self, stack: str, place: Place, message: str) -> Fault:
        """Return a fault of releases/STACK.yml, with its line."""
        ...

    def covering(self) -> Callable[[str], str]:
        """Return what hides the values of all environment files, as they are when it is first used, in a text."""
        ...

    def shown(self, name: str) -> str:
        """Return a path of the site's folder as messages show it."""
        ...


class SecretSearch(Protocol):
    """Looks for secrets in a site's files, in what git has staged, and in its whole history."""

    def look(self, secrets: Mapping[str, Collection[str]], env_files: Collection[str]) -> Looked:
        """Return what is where it should not be: `secrets` are values by their variables' names, `env_files` are paths from the site's folder."""
        ...


class ReleaseLeases(Protocol):
    """Who changes a stack in an environment, over all controllers. What writes raises `RefusedError` for a clock that is behind the site's time."""

    def take_release(self, stack: str, environment: str, verb: str, *, holder: str, now: datetime, ttl: timedelta) -> ReleaseHeld:
        """Hold a stack in an environment, with a new token. Raises `RefusedError`, naming who holds it."""
        ...

    def renew_release(self, held: ReleaseHeld, *, now: datetime, ttl: timedelta) -> ReleaseHeld:
        """Let it last `ttl` from now on. Raises `RefusedError` where another took it."""
        ...

    def end_release(self, held: ReleaseHeld, *, now: datetime) -> None:
        """Give it back; what another took meanwhile stays theirs."""
        ...

    def find_release(self, stack: str, environment: str) -> ReleaseHeld | None:
        """Return the last taking, ended or not."""
        ...


class SmokeRunner(Protocol):
    """Runs a site's smoke tests against a running stack."""

    def run(
        self,
        smoke: Smoke,
        hosts: Sequence[InventoryHost],
        *,
        release: Mapping[str, str],
        hidden: Sequence[str],
        progress: Callable[[str], None],
    ) -> tuple[SmokeTest, ...]:
        """Return how each test ended; a file that can't be read, or holds no test, is one test that is an error.

        `release` is what tests are told of it: stack, environment, manifest. `hidden` are values that nothing here may say.
        """
        ...


class RecertRunner(Protocol):
    """Runs the commands that certify a release, on the controller."""

    def run(self, command: Recert, *, release: Mapping[str, str], hidden: Sequence[str]) -> CommandRan:
        """Run one command to its end or its time limit.

        `release` is what it is told of what it certifies: manifest, commit. `hidden` are values that nothing here may say.
        """
        ...
