"""Receipts as files: `<site>/state/receipts/000001-<key>.intent.json`, each with its signature beside it.

Rules:
- A receipt is on the disk before `append` returns: the intent before the change, the result after it.
- Its signature is there before it: a receipt that shows is signed, wherever the program was killed.
- A folder that is not there holds none; one that can't be read is no empty chain.
- One writer at a time holds the folder's lock and takes the next number by creating the file exclusively.
- A file is in the one form that this program writes, so that no byte of it is outside of what digests and signatures cover.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.listing import names_in
from controlplane.adapters.signatures import Signed
from controlplane.adapters.signing import SshSigner
from controlplane.domain.chain import link
from controlplane.domain.coordination import moment_of
from controlplane.domain.errors import RunFailedError
from controlplane.domain.receipt import ChainFault, Receipt
from controlplane.domain.signers import RECEIPTS

_LOST = "The chain can't be followed past it: restore it from a backup of the state folder."


class ReceiptFiles:
    """The chain in one folder."""

    def __init__(self, folder: Path, signer: SshSigner) -> None:
        self._folder = folder
        self._signer = signer

    def load(self) -> tuple[tuple[str, Receipt], ...]:
        """Return (file name, receipt) in order. Raises `RunFailedError` for a file that is no receipt, and where the folder can't be read."""
        return tuple((path.name, _parsed(path, _bytes(path))) for path in self._paths())

    def append(self, receipt: Receipt) -> Receipt:
        """Write the receipt durably as the next link and return it with its number, predecessor and time. Raises `RefusedError`, `RunFailedError`."""
        try:
            return self._append(receipt)
        except OSError as error:
            what = f"the {receipt.phase} of {receipt.key} could not be written to {self._folder}"
            raise RunFailedError(f"{what}: {error.strerror or error}. Make room there, or mend its rights.") from None

    def _append(self, receipt: Receipt) -> Receipt:
        with self._locked():
            chain = self.load()
            made = link(receipt, chain[-1][1] if chain else None)
            path = self._folder / made.file_name()
            content = (made.model_dump_json(indent=2) + "\n").encode()
            self._signer.sign(path, content, RECEIPTS, at=moment_of(made.at))
            write_durably(path, content, exclusive=True)
        return made

    def signature_faults(self) -> tuple[ChainFault, ...]:
        """Return each receipt whose signature is missing or wrong at its time, where the site has signers, or whose bytes were rewritten."""
        return self.examine()[1]

    def examine(self) -> tuple[tuple[tuple[str, Receipt], ...], tuple[ChainFault, ...]]:
        """Return (file name, receipt) in order, and what is wrong with single files; one that is no receipt is among the faults alone."""
        named: list[tuple[str, Receipt]] = []
        faults: list[ChainFault] = []
        signed: list[Signed] = []
        for path in self._paths():
            try:
                content = _bytes(path)
                receipt = _parsed(path, content)
            except RunFailedError:
                faults.append(ChainFault(file=path.name, reason="is no receipt, or can't be read"))
                continue
            named.append((path.name, receipt))
            signed.append(Signed(path, content, moment_of(receipt.at)))
            if to_json(from_json(content), indent=2) + b"\n" != content:
                faults.append(ChainFault(file=path.name, reason="is not in the form in which receipts are written: it was altered"))
        judged = self._signer.judged_all(signed, RECEIPTS)
        faults += [ChainFault(file=one.path.name, reason=told.fault) for one, told in zip(signed, judged, strict=True) if told.fault is not None]
        return tuple(named), tuple(faults)

    @property
    def checks_signatures(self) -> bool:
        """Say whether there are signers to check by."""
        return self._signer.checks

    def _paths(self) -> list[Path]:
        try:
            return [self._folder / name for name in names_in(self._folder, "[0-9]*.json")]
        except OSError as error:
            why = f"{self._folder} can't be listed ({error.strerror}), so nobody knows what is on record"
            raise RunFailedError(f"{why}. Nothing was changed. Let this user read it, or run this as the one whose folder it is.") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunFailedError(f"{path}: {error.strerror}. {_LOST}") from None


def _parsed(path: Path, content: bytes) -> Receipt:
    try:
        return Receipt.model_validate_json(content)
    except ValidationError:
        raise RunFailedError(f"{path}: is no receipt. {_LOST}") from None
