"""What a wave, or a release, leaves behind: `<site>/state/waves/<wave>/<attempt>/`, each file whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.evidence_files import EvidenceFiles
from controlplane.domain.errors import RunFailedError
from controlplane.domain.evidence import Evidence, Unreached


class WaveFiles:
    """The waves' folder of one site, or that of its releases. Files are named by the site's folder, so that a receipt reads the same elsewhere."""

    def __init__(self, site: Path, kind: str = "waves") -> None:
        self._site, self._kind = site, kind

    def keep(self, wave: str, attempt: str, name: str, content: bytes) -> str:
        """Write a file durably and return its path below the site's folder."""
        path = Path("state", self._kind, wave, attempt, name)
        write_durably(self._site / path, content)
        return str(path)

    def read(self, path: str) -> bytes:
        """Return what `keep` wrote at that path below the site's folder. Raises `RunFailedError` where it is gone."""
        try:
            return (self._site / path).read_bytes()
        except OSError as error:
            raise RunFailedError(f"{self._site / path} can't be read ({error.strerror}). Nothing was changed. Restore it from a copy.") from None

    def keep_evidence(self, wave: str, attempt: str, name: str, seen: Mapping[str, Evidence | Unreached]) -> str:
        """Write evidence durably and return its path below the site's folder."""
        path = Path("state", self._kind, wave, attempt, f"{name}.json")
        (self._site / path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        EvidenceFiles().write(str(self._site / path), seen)
        return str(path)
