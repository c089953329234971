"""What stands on a deployment: whatever changed, later and on the same host, what its way back would change.

Rules:
- The way back writes the files of the stack's folder and lets Compose bring the project up from them: so a later change of a file in that folder,
  of a service of the project, or of one of its containers stands on it.
- A container is the project's by its name: one that Compose gives, one that the plan names, or one that the compose files give. Where a variable
  gives the name nobody can tell, and each container may be the project's.
- A log that was emptied is no change of its container.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from controlplane.domain.paths import is_below
from controlplane.domain.plan import Change, Step

# How change records name a container, or the project of a compose file.
_NAMED = re.compile(r"\b(?:container|of) ([A-Za-z0-9][A-Za-z0-9_.-]*)")
_BEFORE = re.compile(r"(?:^|; )([A-Za-z0-9][A-Za-z0-9_.-]*): ")
_GIVEN = re.compile(r"""container_name['"]?\s*:\s*['"]?([^\s'"#,}]+)""")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def stands_on(deployment: Step, later: Sequence[Change]) -> bool:
    """Say whether one of the later changes is of what a deployment's way back would change."""
    return any(_is_of(deployment, change) for change in later)


def _is_of(deployment: Step, change: Change) -> bool:
    project, folder, target = _said(deployment, "project"), _said(deployment, "dir"), change.target
    if target.startswith(f"{project} ") or any(word == folder or is_below(word, folder) for word in target.replace(",", " ").split()):
        return True
    if target.startswith("log of "):
        return False
    return any(name == project or _is_container(deployment, project, name) for name in _NAMED.findall(target))


def _is_container(deployment: Step, project: str, name: str) -> bool:
    given = list(_given(deployment))
    if any(not _PLAIN.fullmatch(one) for one in given):
        return True
    named = {*given, *deployment.downtime.services, *(one for change in deployment.changes for one in _BEFORE.findall(change.before or ""))}
    return name in named or re.fullmatch(rf"{re.escape(project)}[-_].+[-_]\d+", name) is not None


def _given(deployment: Step) -> Iterator[str]:
    """Yield the names that the compose files give to containers, as they are written."""
    for file in deployment.variables.get("compose_stack_files", ()):
        yield from _GIVEN.findall(str(file["text"]))


def _said(deployment: Step, key: str) -> str:
    return str(deployment.variables.get(f"compose_stack_{key}", ""))
