"""gates.yml, in which the modes of checks stand: one field changes, and every other byte stays as people wrote it."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.edit_lock import locked
from controlplane.adapters.made_from import ABSENT, digest_of_bytes, digest_of_file, refuse_changed
from controlplane.adapters.text_files import read_text
from controlplane.adapters.yaml_edit import RecordsText, has_root
from controlplane.domain.errors import InputInvalidError, RefusedError, RunFailedError
from controlplane.domain.gates.proposal import ModeChange
from controlplane.ports.new_text import NewText


class GatesFile:
    """The gates.yml of one site."""

    def __init__(self, path: Path, locks: Path) -> None:
        self._path, self._locks = path, locks

    @property
    def name(self) -> str:
        """Return its name."""
        return self._path.name

    def digest(self, text: str | None = None) -> str:
        """Return the digest of its text, `absent` where there is none; or that of a text that it could have."""
        return digest_of_file(self._path) if text is None else digest_of_bytes(text.encode())

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Hold the lock of the file; wait for who has it."""
        with locked(self._locks, "gates.lock"):
            yield

    def prepared(self, changes: Sequence[ModeChange]) -> NewText:
        """Return the text with these modes, every other byte as it is; nothing is written. Raises `RefusedError`."""
        if self._path.is_symlink():
            raise RefusedError(f"{self._path} is a symbolic link, which an atomic write would replace: name the file itself. Nothing was changed.")
        is_there = self._path.exists()
        text = read_text(self._path) if is_there else ""
        was = self.digest(text) if is_there else ABSENT
        if not has_root(text, "modes"):
            text = f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}modes: {{}}\n"
        for change in changes:
            records = self._records(text)
            known = records.records()
            text = (
                records.with_field(change.check, change.host, change.after)
                if change.check in known
                else records.with_record(change.check, {change.host: change.after})
            )
        return NewText(text, was)

    def write(self, new: NewText) -> None:
        """Write the whole text, durably. Raises `RefusedError` where the file is no longer what it was made from; `RunFailedError`."""
        refuse_changed(self._path, new.was)
        mode = stat.S_IMODE(self._path.stat().st_mode) if self._path.exists() else 0o644
        try:
            write_durably(self._path, new.text.encode(), mode=mode)
        except OSError as error:
            raise RunFailedError(f"{self._path} can't be written ({error.strerror}): it is as it was. Mend that.") from None

    def _records(self, text: str) -> RecordsText:
        try:
            return RecordsText(text, str(self._path), "modes")
        except InputInvalidError:
            # It was valid when the site was read: its root is written in a way that takes no further line.
            raise RefusedError(f"{self._path} takes no key modes below its last line. Nothing was changed. Write 'modes: {{}}' there.") from None
