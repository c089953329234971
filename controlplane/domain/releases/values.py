"""What releases/STACK.yml says: environments with hosts and compose files, smoke, recertification, and what a promotion takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controlplane.domain.durations import Seconds
from controlplane.domain.gates.values import PackName
from controlplane.domain.names import PROJECT, AsTuple, HostName, Line, ProjectName, check_name
from controlplane.domain.registers.values import LoopId
from controlplane.domain.site_paths import FilePath
from controlplane.domain.values import Value
from controlplane.domain.windows import Window

StackName = Annotated[str, AfterValidator(lambda text: check_name(text, PROJECT, "name of a stack"))]
EnvironmentName = Literal["staging", "production"]
ServiceName = Annotated[str, AfterValidator(lambda text: check_name(text, r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}", "name of a compose service"))]
Address = Annotated[str, AfterValidator(lambda text: check_name(text, r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._/-]*)?", "address of a service"))]


class Smoke(Value):
    """The behaviour that proves a release: plain pytest files of the site, and where they find the services."""

    files: Annotated[tuple[FilePath, ...], AsTuple] = Field(min_length=1, description="Pytest files below releases/")
    urls: dict[ServiceName, Address] = Field(default={}, description="Address of each service, as it is reached from the controller")
    within: Seconds = Field(600, description="How long all of them may take together")


class Environment(Value):
    """Where a release runs. `contract` is the example file, beside which the real one lies with the same name less `.example`."""

    hosts: Annotated[tuple[HostName, ...], AsTuple] = Field(min_length=1, description="Hosts that run the stack, changed in this order")
    project: ProjectName = Field(description="Compose project, as the compose file's own name says; the policy's stacks name its folder")
    compose: Annotated[tuple[FilePath, ...], AsTuple] = Field(min_length=1, description="Compose files below releases/, later ones over earlier ones")
    contract: FilePath = Field(description="Contract of the environment file below releases/, such as shop/.env.staging.example")
    smoke: Smoke = Field(description="What proves it")
    wait: Seconds = Field(120, description="How long services may take until they are healthy")

    @property
    def env_file(self) -> str:
        """Return the real environment file, below releases/."""
        return self.contract.removesuffix(".example")


class Recert(Value):
    """One command that has to end well before a release may go on, run on the controller, without a shell."""

    name: Line = Field(description="What it certifies, such as typecheck")
    run: Annotated[tuple[Line, ...], AsTuple] = Field(min_length=1, description="Command and arguments")
    dir: FilePath | None = Field(None, description="Folder in which it runs; otherwise the site's")
    within: Seconds = Field(900, description="How long it may take")


class Rules(Value):
    """What a promotion to production takes."""

    smoke_within: Seconds = Field(86400, description="How old the smoke run in staging may be")
    recert_within: Seconds = Field(86400, description="How old the recertification may be")
    pack: PackName | None = Field(None, description="Pack whose newest run has to have passed")
    approval: Literal["self", "other"] | None = Field(None, description="Whose approval, where the site itself would ask for less")
    windows: Annotated[tuple[Window, ...], AsTuple] = Field((), description="Its own windows; otherwise those of site.yml")


class ReleaseSpec(Value):
    """One stack: all of releases/STACK.yml."""

    goal: Line = Field(description="One line that says what the stack is for")
    images: dict[ServiceName, Line] = Field(min_length=1, description="Repository of each released service's image, without tag or digest")
    environments: dict[EnvironmentName, Environment] = Field(min_length=1, description="staging and production")
    recert: Annotated[tuple[Recert, ...], AsTuple] = Field((), description="Commands that certify the modules and the site")
    promotion: Rules = Field(Rules(), description="What a promotion takes")
    loop: LoopId | None = Field(None, description="Loop of the release: no gap in it may be open; without one the gate stays shut")
