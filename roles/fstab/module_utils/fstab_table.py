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

from ansible.module_utils import fstab_lines as lines
from ansible.module_utils import fstab_texts as texts
from ansible.module_utils import target_run_files as files

OPTION = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "spec": {"type": "str", "required": True},
        "file": {"type": "str", "required": True},
        "vfstype": {"type": "str", "required": True},
        "options": {"type": "list", "elements": "str", "required": True},
        "freq": {"type": "int", "default": 0},
        "passno": {"type": "int", "default": 0},
    },
}
# The role makes the folder of an entry before it writes the entry.
_NO_FOLDER_YET = "unreachable on boot required target"


class Table:
    """The file `path`: `before` as it is, `after` with the entries in it, and the `faults` of other entries that it has already."""

    def __init__(self, module, path, entries):
        """Judge the new text. Raises FstabError where it can't be had, or is worse than the old one."""
        self.path = Path(os.path.realpath(path))
        self.existed = self.path.exists()
        self.before = self.path.read_bytes() if self.existed else b""
        self.after = lines.changed(self.before.decode("utf-8", "surrogateescape"), entries).encode("utf-8", "surrogateescape")
        ours = {entry["file"] for entry in entries}
        old, new = _verified(module, self.before), _verified(module, self.after)
        worse = sorted(
            (target, text)
            for target, text in new
            if ((target, text) not in old or target in ours) and (target not in ours or _NO_FOLDER_YET not in text)
        )
        if worse and self.pending:
            raise lines.FstabError(f"findmnt --verify objects to the new text: {'; '.join(map(self._told, worse))}")
        self.faults = [self._told(fault) for fault in sorted(old) if fault[0] not in ours]

    @property
    def pending(self):
        """Whether the file is to be changed."""
        return self.before != self.after

    def record(self, folder):
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
        files.write(folder / "fstab.before", self.before, mode=0o600)
        files.write(folder / "fstab.after", self.after, mode=0o600)
        digests = {
            "version": 1,
            "path": str(self.path),
            "existed": self.existed,
            "before": texts.digest(self.before),
            "after": texts.digest(self.after),
        }
        files.write(meta, json.dumps(digests, indent=2).encode() + b"\n", mode=0o600)

    def is_recorded(self, folder):
        """Say whether both texts are on record in the run's folder, so that its undo knows them."""
        known = [files.held(folder / name) for name in ("fstab.before", "fstab.after")]
        return (folder / "fstab.json").exists() and self.before in known and self.after == known[1]

    def write(self):
        """Put the new text in place. Raises FstabError where it reads back otherwise."""
        files.write(self.path, self.after, mode=0o644)
        if self.path.read_bytes() != self.after:
            raise lines.FstabError(f"{self.path} reads back otherwise than it was written")

    def _told(self, fault):
        """Return one of findmnt's errors as words; it quotes the source, in which a password can be, as in //user:password@host."""
        target, text = map(texts.without_secrets, fault)
        return f"{target or self.path}: {text}"

    def diff(self):
        """Return what `--diff` shows."""
        return texts.diff(self.path, self.before, self.after)


def _verified(module, text):
    """Return findmnt's errors about a text, from a copy that nobody else reads."""
    with tempfile.NamedTemporaryFile(prefix="controlplane-fstab-", dir="/run") as copy:
        copy.write(text)
        copy.flush()
        _, out, err = module.run_command(["findmnt", "--verify", "--tab-file", copy.name], environ_update={"LC_ALL": "C"})
    if not out.strip() and not err.strip():
        raise lines.FstabError("findmnt --verify gave no answer")
    return lines.faults(out + "\n" + err)
