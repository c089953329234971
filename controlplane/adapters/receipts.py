"""Receipts as files: `<site>/state/receipts/000001-<key>.intent.json`, each with its signature beside it.

Rules:
- A receipt is on the disk before `append` returns: the intent before the change, the result after it.
- Its signature is there before it: a receipt that shows is signed, wherever the program was killed.
- One writer at a time holds the folder's lock and takes the next number by creating the file exclusively.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.signing import RECEIPTS, SshSigner
from controlplane.domain.errors import RunFailedError
from controlplane.domain.receipt import ChainFault, Receipt


class ReceiptFiles:
    """The chain in one folder."""

    def __init__(self, folder: Path, signer: SshSigner) -> None:
        self._folder = folder
        self._signer = signer

    def load(self) -> tuple[tuple[str, Receipt], ...]:
        """Return (file name, receipt) in order. Raises `RunFailedError` for a file that is no receipt."""
        return tuple((path.name, _read(path)) for path in self._paths())

    def append(self, receipt: Receipt) -> Receipt:
        """Write the receipt durably as the next link and return it with its number and predecessor."""
        try:
            return self._append(receipt)
        except OSError as error:
            what = f"the {receipt.phase} of {receipt.key} could not be written to {self._folder}"
            raise RunFailedError(f"{what}: {error.strerror or error}. Make room there, or mend its rights.") from None

    def _append(self, receipt: Receipt) -> Receipt:
        with self._locked():
            chain = self.load()
            previous = chain[-1][1].digest() if chain else None
            link = receipt.model_copy(update={"seq": len(chain) + 1, "previous": previous})
            path = self._folder / f"{link.seq:06d}-{link.key}.{link.phase}.json"
            content = (link.model_dump_json(indent=2) + "\n").encode()
            self._signer.sign(path, content, RECEIPTS)
            write_durably(path, content, exclusive=True)
        return link

    def signature_faults(self) -> tuple[ChainFault, ...]:
        """Return each receipt whose signature is missing or wrong, where the site has signers."""
        told = ((path, self._signer.fault(path, RECEIPTS)) for path in self._paths())
        return tuple(ChainFault(file=path.name, reason=fault) for path, fault in told if fault is not None)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.json"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _read(path: Path) -> Receipt:
    try:
        return Receipt.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no receipt"
        raise RunFailedError(f"{path}: {why}. The chain can't be followed past it: restore it from a backup of the state folder.") from None
