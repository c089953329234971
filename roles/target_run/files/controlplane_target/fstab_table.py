"""fstab as it is and as it shall be: judge the new text before anybody sees it, record both, and put it in place with one rename.

Rules:
- Faults that the file had before are reported; only a new one, or any of the entries' own, speaks against the change.
- A second attempt of a run must find the file as one of the two texts that the first one recorded.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from . import command, files
from . import fstab_lines as lines
from . import fstab_texts as texts

# The role makes the folder of an entry before it writes the entry.
_NO_FOLDER_YET = "unreachable on boot required target"


class Table:
    """The file `path`: `before` as it is, `after` with the entries in it, and the `faults` of other entries that it has already."""

    def __init__(self, path: str, entries: list[lines.Entry]) -> None:
        """Judge the new text. Raises FstabError where it can't be had, or is worse than the old one."""
        self.path = Path(os.path.realpath(path))
        self.existed = self.path.exists()
        self.before = self.path.read_bytes() if self.existed else b""
        self.after = lines.changed(self.before.decode("utf-8", "surrogateescape"), entries).encode("utf-8", "surrogateescape")
        ours = {entry["file"] for entry in entries}
        old, new = _verified(self.before), _verified(self.after)
        worse = sorted(
            (target, text)
            for target, text in new
            if ((target, text) not in old or target in ours) and (target not in ours or _NO_FOLDER_YET not in text)
        )
        if worse and self.pending:
            raise lines.FstabError(f"findmnt --verify objects to the new text: {'; '.join(map(self._told, worse))}")
        self.faults = [self._told(fault) for fault in sorted(old) if fault[0] not in ours]

    @property
    def pending(self) -> bool:
        """Whether the file is to be changed."""
        return self.before != self.after

    def record(self, folder: Path) -> None:
        """Put both texts into the run's folder, once. Raises FstabError where an earlier attempt recorded others."""
        meta = folder / "fstab.json"
        if meta.exists():
            known = [(folder / name).read_bytes() for name in ("fstab.before", "fstab.after")]
            if self.before in known and self.after == known[1]:
                return
            text = texts.difference(known[1], self.before, "recorded", str(self.path))
            raise lines.FstabError(
                f"{self.path} was changed by somebody since this run recorded it:\n{text}Undo this run with {folder}/undo, or make the plan again"
            )
        files.write_atomic(folder / "fstab.before", self.before)
        files.write_atomic(folder / "fstab.after", self.after)
        digests = {
            "version": 1,
            "path": str(self.path),
            "existed": self.existed,
            "before": texts.digest(self.before),
            "after": texts.digest(self.after),
        }
        files.write_atomic(meta, json.dumps(digests, indent=2).encode() + b"\n")

    def is_recorded(self, folder: Path) -> bool:
        """Say whether both texts are on record in the run's folder, so that its undo knows them."""
        known = [files.read_bytes(folder / name) for name in ("fstab.before", "fstab.after")]
        return (folder / "fstab.json").exists() and self.before in known and self.after == known[1]

    def write(self) -> None:
        """Put the new text in place. Raises FstabError where it reads back otherwise."""
        files.write_like(self.path, self.after, mode=0o644)
        if self.path.read_bytes() != self.after:
            raise lines.FstabError(f"{self.path} reads back otherwise than it was written")

    def _told(self, fault: tuple[str, str]) -> str:
        """Return one of findmnt's errors as words; it quotes the source, in which a password can be, as in //user:password@host."""
        target, text = map(texts.without_secrets, fault)
        return f"{target or self.path}: {text}"

    def diff(self) -> dict[str, str]:
        """Return what `--diff` shows."""
        return texts.diff(self.path, self.before, self.after)


def _verified(text: bytes) -> set[tuple[str, str]]:
    """Return findmnt's errors about a text, from a copy that nobody else reads."""
    with tempfile.NamedTemporaryFile(prefix="controlplane-fstab-", dir="/run") as copy:
        copy.write(text)
        copy.flush()
        _, out, err = command.run(["findmnt", "--verify", "--tab-file", copy.name])
    if not out.strip() and not err.strip():
        raise lines.FstabError("findmnt --verify gave no answer")
    return lines.faults(out + "\n" + err)
