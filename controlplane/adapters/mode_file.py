"""gates.yml, in which the modes of checks stand: one field changes, and every other byte stays as people wrote it."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.text_files import read_text
from controlplane.adapters.yaml_edit import RecordsText, has_root
from controlplane.domain.errors import RefusedError
from controlplane.domain.gates.proposal import ModeChange


class GatesFile:
    """The gates.yml of one site."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """Return its name."""
        return self._path.name

    def digest(self) -> str:
        """Return the digest of its text, `absent` where there is none."""
        return f"sha256:{hashlib.sha256(self._path.read_bytes()).hexdigest()}" if self._path.exists() else "absent"

    def write(self, changes: Sequence[ModeChange]) -> None:
        """Write these modes and leave every other byte. Raises `RefusedError`."""
        if self._path.is_symlink():
            raise RefusedError(f"{self._path} is a symbolic link, which an atomic write would replace: name the file itself. Nothing was changed.")
        text = read_text(self._path) if self._path.exists() else ""
        if not has_root(text, "modes"):
            text = f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}modes: {{}}\n"
        for change in changes:
            records = RecordsText(text, str(self._path), "modes")
            known = records.records()
            text = (
                records.with_field(change.check, change.host, change.after)
                if change.check in known
                else records.with_record(change.check, {change.host: change.after})
            )
        mode = stat.S_IMODE(self._path.stat().st_mode) if self._path.exists() else 0o644
        write_durably(self._path, text.encode(), mode=mode)
