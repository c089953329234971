"""Edit registers/*.yml of a site, one change at a time, each whole on disk or not at all.

Rules:
- Whoever edits holds one lock for the site, from reading to writing: two editors never take the same id, nor lose each other's change.
- Two clones of a site can't see each other: what both file under one id is a key that is there twice once they are merged, a fault with both lines.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.edit_lock import locked
from controlplane.adapters.text_files import read_text
from controlplane.adapters.yaml_edit import RecordsText
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.governance import Governance
from controlplane.ports.registers import Entry
from controlplane.ports.sites import SiteReader


class RegisterFiles:
    """The registers of one site; `site` reads them."""

    def __init__(self, folder: Path, site: SiteReader) -> None:
        self._folder = folder
        self._site = site

    def read(self) -> Governance:
        """Return what the registers say now, with gates and waves. Inventory scripts and plugins are not run."""
        return self._site.read(run_inventory=False).governance

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Hold the lock of the site's registers; wait for who has it."""
        with locked(self._folder / "state" / "locks", "registers.lock"):
            yield

    def add(self, register: str, record: str, fields: Mapping[str, Any]) -> str:
        """Write a new record and return its file. Raises `RefusedError`."""
        path = self._path(register)
        if not path.exists():
            self._write(path, f"{register}: {{}}\n")
        self._write(path, RecordsText(read_text(path), str(path), register).with_record(record, dict(fields)))
        return str(path)

    def change(self, entries: Sequence[Entry]) -> tuple[str, ...]:
        """Write fields of records, file by file in the order in which they are given; return the files. Raises `RefusedError`."""
        texts: dict[Path, str] = {}
        for entry in entries:
            path = self._path(entry.register)
            text = texts.get(path) or read_text(path)
            texts[path] = RecordsText(text, str(path), entry.register).with_field(entry.record, entry.field, entry.value)
        for path, text in texts.items():
            self._write(path, text)
        return tuple(str(path) for path in texts)

    def _path(self, register: str) -> Path:
        path = self._folder / "registers" / f"{register}.yml"
        if path.is_symlink():
            raise RefusedError(f"{path} is a symbolic link, which an atomic write would replace: name the file itself. Nothing was changed.")
        return path

    @staticmethod
    def _write(path: Path, text: str) -> None:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
        try:
            write_durably(path, text.encode(), mode=mode)
        except OSError as error:
            raise RunFailedError(f"{path} can't be written ({error.strerror}): it is as it was. Mend that, then run this again.") from None
