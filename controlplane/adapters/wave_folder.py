"""What a wave, or a release, leaves behind: `<site>/state/waves/<wave>/<attempt>/`, each file whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.domain.errors import RunFailedError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.evidence_file import evidence_document
from controlplane.domain.evidence_text import evidence_text


class WaveFiles:
    """The waves' folder of one site, or that of its releases. Files are named by the site's folder, so that a receipt reads the same elsewhere."""

    def __init__(self, site: Path, kind: str = "waves") -> None:
        self._site, self._kind = site, kind

    def keep(self, wave: str, attempt: str, name: str, content: bytes) -> str:
        """Write a file durably and return its path below the site's folder. Raises `RunFailedError` where it can't be written."""
        path = Path("state", self._kind, wave, attempt, name)
        try:
            write_durably(self._site / path, content)
        except OSError as error:
            why = f"{self._site / path} can't be written ({error.strerror or error}), and nothing goes on that is not kept"
            raise RunFailedError(f"{why}. Make room there, or let this user write there, then run the same command again.") from None
        return str(path)

    def read(self, path: str) -> bytes:
        """Return what `keep` wrote at that path below the site's folder. Raises `RunFailedError` where it is gone."""
        try:
            return (self._site / path).read_bytes()
        except OSError as error:
            raise RunFailedError(f"{self._site / path} can't be read ({error.strerror}). Nothing was changed. Restore it from a copy.") from None

    def keep_evidence(self, wave: str, attempt: str, name: str, seen: Mapping[str, Evidence | Unreached]) -> str:
        """Write evidence durably and return its path below the site's folder. Raises `RunFailedError` where it can't be written."""
        return self.keep(wave, attempt, f"{name}.json", evidence_text(evidence_document(seen)).encode("utf-8", "replace"))
