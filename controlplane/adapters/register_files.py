"""Edit registers/*.yml of a site, one change at a time, each whole on disk or not at all.

Rules:
- Whoever edits holds one lock for the site, from reading to writing: two editors never take the same id, nor lose each other's change.
- Who edits a file by hand, or pulls it, holds no lock: a file that is not what was read is refused right before it would be written.
- Two clones of a site can't see each other: what both file under one id is a key that is there twice once they are merged, a fault with both lines.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.edit_lock import locked
from controlplane.adapters.made_from import ABSENT, digest_of_file, refuse_changed
from controlplane.adapters.text_files import read_text
from controlplane.adapters.yaml_edit import RecordsText
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.site import SiteContent
from controlplane.ports.new_text import NewText
from controlplane.ports.registers import Added, Entry
from controlplane.ports.sites import SiteReader

_AGAIN = " Look at it, then run this again."


class RegisterFiles:
    """The registers of one site; `site` reads them."""

    def __init__(self, folder: Path, site: SiteReader) -> None:
        self._folder = folder
        self._site = site
        self._read: dict[str, str] = {}

    def read(self) -> SiteContent:
        """Return what the registers say now, with all of the site that they name. Inventory scripts and plugins are not run."""
        # Before they are read: what is saved while they are is not what was read.
        self._read = {str(path): digest_of_file(path) for path in (self._folder / "registers").glob("*.yml")}
        return self._site.read(run_inventory=False)

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Hold the lock of the site's registers; wait for who has it."""
        with locked(self._folder / "state" / "locks", "registers.lock"):
            yield

    def prepared(self, edits: Sequence[Added | Entry]) -> dict[str, NewText]:
        """Return the texts of the files with these edits, in the order in which they are given, each with what was read of its file.

        Nothing is written. Raises `RefusedError`.
        """
        by_register: dict[str, list[Added | Entry]] = {}
        for edit in edits:
            by_register.setdefault(edit.register, []).append(edit)
        texts = {}
        for register, mine in by_register.items():
            path = self._path(register)
            text = read_text(path) if path.exists() else f"{register}: {{}}\n"
            changed = RecordsText(text, str(path), register).changed(
                added=[(one.record, dict(one.fields)) for one in mine if isinstance(one, Added)],
                fields=[(one.record, one.field, one.value) for one in mine if isinstance(one, Entry)],
            )
            texts[str(path)] = NewText(changed, self._read.get(str(path), ABSENT))
        return texts

    @staticmethod
    def refuse_changed(texts: Mapping[str, NewText]) -> None:
        """Raise `RefusedError` where a file is no longer what its text was made from."""
        for path, new in texts.items():
            refuse_changed(Path(path), new.was, then=_AGAIN)

    def write(self, texts: Mapping[str, NewText]) -> tuple[str, ...]:
        """Write whole texts, one file after another, and return the files.

        Raises `RefusedError` where one is no longer what its text was made from, before the first is written; `RunFailedError`.
        """
        self.refuse_changed(texts)
        written: list[str] = []
        for path, new in texts.items():
            try:
                refuse_changed(Path(path), new.was, then=_AGAIN)
            except RefusedError as changed:
                raise RunFailedError(f"{changed} Written was {', '.join(written)}.") from None
            self._write(Path(path), new.text)
            written.append(path)
        return tuple(written)

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
