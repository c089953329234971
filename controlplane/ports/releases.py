"""What the use cases of releases need from the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from controlplane.domain.inventory import InventoryHost
from controlplane.domain.releases.manifest import Manifest
from controlplane.domain.releases.smoke import CommandRan, SmokeTest
from controlplane.domain.releases.values import EnvironmentName, Recert, ReleaseSpec, Smoke
from controlplane.domain.releases.wanted import ComposeText, ServiceWanted


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

    def images(self, stack: str, environment: EnvironmentName, manifest: Manifest) -> Mapping[str, str]:
        """Return the image of every service of an environment, pinned: by the manifest, or by the compose file itself."""
        ...

    def services(self, stack: str, environment: EnvironmentName, *, folder: str) -> Mapping[str, ServiceWanted]:
        """Return what the compose files say of every service; `folder` is the stack's on the host, to which relative binds belong."""
        ...

    def env_digest(self, stack: str, environment: EnvironmentName) -> str:
        """Return the keyed digest of the real environment file; the key is this site's own and never leaves its state folder."""
        ...

    def env_text(self, stack: str, environment: EnvironmentName) -> str:
        """Return the text of the real environment file, secrets and all: for the role alone."""
        ...

    def mark_tested(self, stack: str, name: str, run: str) -> None:
        """Write into a manifest by which run it was tested; every other byte stays."""
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

    def run(self, command: Recert, *, hidden: Sequence[str]) -> CommandRan:
        """Run one command to its end or its time limit. `hidden` are values that nothing here may say."""
        ...
