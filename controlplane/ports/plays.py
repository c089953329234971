"""How a rendered project is run on a host, and the roles that travel with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from controlplane.domain.values import Value


class StepResult(Value):
    """How one play ended. `message` is what a person needs to know; `told` is what the role itself reported (such as `downtime_s`)."""

    status: Literal["done", "failed", "unreachable", "interrupted"]
    message: str
    told: dict[str, Any]


class PlayRunner(Protocol):
    """Runs one rendered project; cancellation stops what runs before it returns."""

    def run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:
        """Run `playbook` of `project` on `host`; `progress` hears each task's name."""
        ...

    def dry_run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:
        """Do the same in Ansible's check mode: the roles refuse what they would refuse, and nothing is changed."""
        ...


class RoleContent(Protocol):
    """The roles and playbooks that travel with the program."""

    def files(self) -> Mapping[str, bytes]:
        """Return the bytes of every role file by path below `roles/`."""
        ...
