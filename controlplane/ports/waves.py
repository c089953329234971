"""What a wave and a release leave behind, and what the site's controllers share of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.evidence import Evidence, Unreached


class WaveFolder(Protocol):
    """What a wave leaves behind as files of the site, by wave and attempt."""

    def keep(self, wave: str, attempt: str, name: str, content: bytes) -> str:
        """Write a file durably and return its path."""
        ...

    def keep_evidence(self, wave: str, attempt: str, name: str, seen: Mapping[str, Evidence | Unreached]) -> str:
        """Write evidence durably and return its path."""
        ...

    def read(self, path: str) -> bytes:
        """Return what `keep` wrote at that path. Raises `RunFailedError` where it is gone."""
        ...


class Commit(NamedTuple):
    """One commit of the site's files: its id, its first line, and the files that it changed."""

    id: str
    title: str
    files: tuple[str, ...]


class SiteHistory(Protocol):
    """The version control of the site's files."""

    def head(self) -> str | None:
        """Return the id of the newest commit, None where the site is not under version control. Raises `UnknownError` where that can't be told."""
        ...

    def since(self, head: str | None) -> tuple[Commit, ...]:
        """Return the commits after `head` that changed files of the site, the oldest first. Raises `UnknownError` where they can't be told."""
        ...

    def uncommitted(self) -> tuple[str, ...]:
        """Return the files of the site that differ from the newest commit. Raises `UnknownError` where that can't be told."""
        ...


class BackupProof(Protocol):
    """The site's own proof that a restorable backup is there."""

    def age_s(self) -> float:
        """Return how old it is, in seconds. ValueError says why it is not proven."""
        ...


class WaveStore(Protocol):
    """Waves, of which several controllers know. `now` is aware; what writes raises `RefusedError` for a clock that is behind the site's time."""

    def take(
        self,
        wave: str,
        *,
        state: str,
        mutating: bool,
        holder: str,
        record: dict[str, Any],
        now: datetime,
        ttl: timedelta,
        knows: WaveHeld | None = None,
        anew: bool = False,
    ) -> WaveHeld:
        """Open the wave, or take it over from the same holder or where its lease is over, with a new token.

        With `knows`, only if nobody wrote since that reading; with `anew`, only if no attempt goes on. Raises `RefusedError`, naming who holds it,
        or which mutating wave goes on.
        """
        ...

    def find(self, wave: str) -> WaveHeld | None:
        """Return the latest attempt at the wave, ended or not."""
        ...

    def waves(self) -> tuple[WaveHeld, ...]:
        """Return the latest attempt at each wave, the one that was opened first first."""
        ...

    def history(self, wave: str) -> tuple[WaveHeld, ...]:
        """Return every attempt at the wave, the first first."""
        ...

    def renew(self, held: WaveHeld, *, now: datetime, ttl: timedelta) -> WaveHeld:
        """Let the lease last `ttl` from now on. Raises `RefusedError` where another took over, or somebody else wrote."""
        ...

    def write(self, held: WaveHeld, *, state: str, record: dict[str, Any], now: datetime, ended: bool = False) -> WaveHeld:
        """Write state and record; with `ended` the attempt is over and its lease released. Raises `RefusedError` as `renew` does."""
        ...
