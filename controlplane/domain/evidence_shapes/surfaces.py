"""What containers write beside their data, and large files in /tmp."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from controlplane.domain.evidence_shapes.closed import closed


@closed
class LargeFile(TypedDict):
    """A file; `owner` is a user's number, `mtime` in epoch seconds, `mark` what tells this content from a later one. Older evidence has two."""

    path: str
    size: int
    owner: NotRequired[int]
    mtime: NotRequired[int]
    mark: NotRequired[str]


@closed
class SurfaceSizes(TypedDict):
    """Bytes of each place that has a limit; None for one that could not be measured in time."""

    sizes: dict[str, int | None]


@closed
class TmpFiles(TypedDict):
    """Files of at least 1 MB below /tmp and /var/tmp, largest first; `truncated` when there were more than the limit."""

    files: list[LargeFile]
    truncated: bool
