"""The registers of a site, as files that people edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from controlplane.domain.site import SiteContent
from controlplane.ports.new_text import NewText


class Entry(NamedTuple):
    """One field of one record of a register, and what it is to say."""

    register: str
    record: str
    field: str
    value: Any


class Added(NamedTuple):
    """A record that a register does not hold yet."""

    register: str
    record: str
    fields: Mapping[str, Any]


class RegisterStore(Protocol):
    """The site's registers, as people keep them in git."""

    def read(self) -> SiteContent:
        """Return what they say now, with all of the site that they name."""
        ...

    def editing(self) -> AbstractContextManager[None]:
        """Hold the registers, so that nobody else of this site edits them meanwhile."""
        ...

    def prepared(self, edits: Sequence[Added | Entry]) -> Mapping[str, NewText]:
        """Return the texts of the files with these edits, in the order in which they are given, each with what was read of its file.

        Nothing is written. Raises `RefusedError`.
        """
        ...

    def refuse_changed(self, texts: Mapping[str, NewText]) -> None:
        """Raise `RefusedError` where a file is no longer what its text was made from."""
        ...

    def write(self, texts: Mapping[str, NewText]) -> tuple[str, ...]:
        """Write whole texts, one file after another, and return the files.

        Raises `RefusedError` where one is no longer what its text was made from, before the first is written; `RunFailedError`.
        """
        ...
