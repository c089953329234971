"""What a search for secrets found in a site's files and in its history, and what it could not look at."""

from __future__ import annotations

from typing import Annotated, Literal

from controlplane.domain.errors import Fault
from controlplane.domain.names import AsTuple
from controlplane.domain.values import Value


class Leak(Value):
    """One place. `file` is a path as people may open it, or COMMIT:PATH as `git show` takes it; `blob` is its content's id in git.

    `kind` says whether it is the environment file itself, the very value of one, or a token by its form.
    """

    kind: Literal["env-file", "value", "form"]
    file: str
    line: int
    what: str
    blob: str | None = None


class Looked(Value):
    """One search: what it found, how much it looked through, and why it can't speak for all (`doubts`)."""

    leaks: Annotated[tuple[Leak, ...], AsTuple] = ()
    doubts: Annotated[tuple[str, ...], AsTuple] = ()
    files: int = 0
    commits: int = 0
    blobs: int = 0
    revoked: int = 0


def fault_of(leak: Leak) -> Fault:
    """Return the fault that a leak is, and what to do about it."""
    if leak.kind == "env-file":
        return Fault(leak.file, leak.line, "", leak.what if leak.blob is None else f"{leak.what}: {_acknowledged(leak.blob, 'have them changed')}")
    if leak.blob is None:
        told = "have it changed where it is used" if leak.kind == "value" else "have it revoked where it was issued"
        return Fault(leak.file, leak.line, "", f"holds {leak.what}: take it out, and {told}, since others may have read it")
    if leak.kind == "value":
        return Fault(leak.file, leak.line, "", f"holds {leak.what}, and whoever cloned the repository has it: have it changed where it is used")
    return Fault(leak.file, leak.line, "", f"holds {leak.what}: {_acknowledged(leak.blob, 'have it revoked where it was issued')}")


def _acknowledged(blob: str, first: str) -> str:
    return f"{first}, then write a line '{blob} WHO AND WHEN' into releases/revoked.txt"
