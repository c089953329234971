"""The registers of a site, as files that people edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from controlplane.domain.governance import Governance


class Entry(NamedTuple):
    """One field of one record of a register, and what it is to say."""

    register: str
    record: str
    field: str
    value: Any


class RegisterStore(Protocol):
    """The site's registers, as people keep them in git."""

    def read(self) -> Governance:
        """Return what they say now, with gates and waves, which they name."""
        ...

    def editing(self) -> AbstractContextManager[None]:
        """Hold the registers, so that nobody else of this site edits them meanwhile."""
        ...

    def add(self, register: str, record: str, fields: Mapping[str, Any]) -> str:
        """Write a new record and return its file. Raises `RefusedError`."""
        ...

    def change(self, entries: Sequence[Entry]) -> tuple[str, ...]:
        """Write fields of records and return the files. Raises `RefusedError`."""
        ...
