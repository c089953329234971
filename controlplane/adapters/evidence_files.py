"""Evidence as a file that only its owner can read: it names what a host runs and where, though no secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controlplane.adapters.durable_files import why_unwritable, write_durably
from controlplane.adapters.text_files import read_text
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.evidence_file import evidence_document, read_evidence
from controlplane.domain.evidence_text import evidence_text

# Fifty hosts have some 3 MB.
LARGEST = 1024**3


class EvidenceFiles:
    """Reads and writes evidence documents."""

    def read(self, path: str) -> dict[str, Evidence | Unreached]:
        """Return what the file holds, by host. Raises `InputInvalidError` with every fault."""
        return read_evidence(read_text(Path(path), limit=LARGEST), file=path)

    def refuse_unless_writable(self, path: str) -> None:
        """Raise `InputInvalidError` where no evidence could be written: collecting it may take minutes, and it would be lost."""
        fault = why_unwritable(Path(path), "evidence")
        if fault is not None:
            raise InputInvalidError([Fault(path, 0, "--out", fault)])

    def write(self, path: str, seen: Mapping[str, Evidence | Unreached]) -> None:
        """Write the file whole or not at all (mode 0600). Raises `InputInvalidError` where it can't be written."""
        text = evidence_text(evidence_document(seen))
        try:
            write_durably(Path(path), text.encode("utf-8", "replace"))
        except OSError as error:
            raise InputInvalidError([Fault(path, 0, "--out", f"can't be written ({error.strerror}): name a file in a folder of yours")]) from None
