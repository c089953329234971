"""The site's proof of a restorable backup: a command of its own that exits 0, or a file that the backup touches once it is proven.

The command is the site's, an argument list that no shell reads; it runs as the operator, in the site's folder.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from controlplane.domain.site import BackupGate

_LIMIT_S = 600


class SiteBackupProof:
    """Asks for the proof of one site."""

    def __init__(self, site: Path, gate: BackupGate | None) -> None:
        self._site, self._gate = site, gate

    def age_s(self) -> float:
        """Return how old it is, in seconds; of a command that proves it now, 0. ValueError says why it is not proven."""
        if self._gate is None:
            raise ValueError("the site names no proof of a backup (site.yml, backup_gate)")
        if self._gate.file is not None:
            return self._age_of(self._site / Path(self._gate.file).expanduser())
        argv = list(self._gate.command or ())
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False, cwd=self._site)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ValueError(f"{argv[0]} can't prove a backup: {error}") from None
        if done.returncode != 0:
            told = " ".join((done.stdout + done.stderr).decode(errors="replace").split())[-300:]
            raise ValueError(f"{argv[0]} says that there is none (exit {done.returncode}): {told}")
        return 0.0

    @staticmethod
    def _age_of(path: Path) -> float:
        try:
            age = time.time() - path.stat().st_mtime
        except OSError as error:
            raise ValueError(f"{path}, which a proven backup touches, can't be read: {error.strerror}") from None
        if age < -300:
            raise ValueError(f"{path} is from the future, by {-age:.0f} s: which clock is wrong?")
        return max(age, 0.0)
