"""Receipts as files: `<site>/state/receipts/000001-<key>.intent.json`, each with its signature beside it.

Rules:
- A receipt is on the disk before `append` returns: the intent before the change, the result after it.
- Its signature is there before it: a receipt that shows is signed, wherever the program was killed.
- A folder that is not there holds none; one that can't be read is no empty chain.
- One writer at a time holds the folder's lock and takes the next number by creating the file exclusively.
- A reset of the site's time is judged at the latest time before it as well (`chain`): before it is written, and whenever the chain is looked at.
- No run is begun over such a reset that is in doubt, for its beginning would stand for it.
- An intent whose key is on record already is not written: the chain would be broken for good.
- A file is in the one form that this program writes, so that no byte of it is outside of what digests and signatures cover.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.listing import names_in
from controlplane.adapters.signatures import Signed, signature_of, signing_key_of
from controlplane.adapters.signing import SshSigner
from controlplane.domain.chain import LooseReset, begins, is_reset, latest_time, link, loose_resets
from controlplane.domain.coordination import moment_of
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.receipt import ChainFault, Receipt
from controlplane.domain.signers import RECEIPTS

_LOST = "The chain can't be followed past it: restore it from a backup of the state folder."
_LOOSE = (
    "sets the site's time back from {}, by a key that is not allowed at that time, and nobody whose key is has begun a run since: who kept a key "
    "that ended can write so. If a clock did run ahead, one whose key is allowed at that time says so too: controlplane receipts reset-time"
)


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
            self._refuse(receipt, [one for _, one in chain])
            made = link(receipt, chain[-1][1] if chain else None)
            path = self._folder / made.file_name()
            content = (made.model_dump_json(indent=2) + "\n").encode()
            self._signer.sign(path, content, RECEIPTS, at=moment_of(made.at), back_from=self._back_from(made))
            write_durably(path, content, exclusive=True)
        return made

    def _refuse(self, receipt: Receipt, chain: list[Receipt]) -> None:
        """Raise `RefusedError` for an intent that is on record, `RunFailedError` for the beginning of a run that would stand for a reset in doubt."""
        if receipt.phase == "intent" and any(one.phase == "intent" and one.key == receipt.key for one in chain):
            told = f"{receipt.key} is on record already: two runs that began in one second drew one key"
            raise RefusedError(f"{told}. It was not begun. Run the same command again.")
        # Whoever begins one has looked at the chain before; what was put in since, nobody saw.
        if begins(receipt) and not is_reset(receipt) and any(map(is_reset, chain)):
            named, signed, _ = self._read()
            for place, before in self._loose(named, signed):
                told = f"the receipts do not hold: {named[place][0]} {_LOOSE.format(before)}"
                raise RunFailedError(f"{told}. {receipt.key} was not begun. Look into it with 'controlplane receipts verify'.")

    def signature_faults(self) -> tuple[ChainFault, ...]:
        """Return each receipt whose signature is missing or wrong at its time, where the site has signers, or whose bytes were rewritten."""
        return self.examine()[1]

    def examine(self) -> tuple[tuple[tuple[str, Receipt], ...], tuple[ChainFault, ...]]:
        """Return (file name, receipt) in order, and what is wrong with single files; one that is no receipt is among the faults alone.

        A reset of the site's time that nobody stands for is a `LooseReset`.
        """
        named, signed, faults = self._read()
        judged = self._signer.judged_all(signed, RECEIPTS)
        faults += [ChainFault(file=one.path.name, reason=told.fault) for one, told in zip(signed, judged, strict=True) if told.fault is not None]
        for place, before in self._loose(named, signed):
            if judged[place].fault is None:
                faults.append(LooseReset(file=named[place][0], reason=_LOOSE.format(before)))
        return tuple(named), tuple(faults)

    def _read(self) -> tuple[list[tuple[str, Receipt]], list[Signed], list[ChainFault]]:
        """Return each receipt by its file's name, what of it is signed, and each file that is none or has not the form of one."""
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
        return named, signed, faults

    def _loose(self, named: list[tuple[str, Receipt]], signed: list[Signed]) -> tuple[tuple[int, str], ...]:
        """Return the place of each reset that nobody stands for, and the latest time before it."""
        # Whether a key is allowed at a time is the same for all that it signed.
        known: dict[tuple[bytes | None, str], bool] = {}

        def holds(place: int, at: str) -> bool:
            key = _key_of(signed[place].path)
            if (key, at) not in known:
                [told] = self._signer.judged_all([signed[place]._replace(at=moment_of(at))], RECEIPTS)
                known[key, at] = told.fault is None
            return known[key, at]

        return loose_resets([receipt for _, receipt in named], holds)

    def _back_from(self, made: Receipt) -> datetime | None:
        """Return the latest time that a reset is to leave behind, also one that was left by a reset that nobody stands for; None for all else."""
        if not is_reset(made):
            return None
        named, signed, _ = self._read()
        left = [before for _, before in self._loose(named, signed)]
        latest = max([latest_time([receipt for _, receipt in named]) or made.at, *left])
        return moment_of(latest) if latest > made.at else None

    @property
    def checks_signatures(self) -> bool:
        """Say whether there are signers to check by. Raises `InputInvalidError` where they can't be read."""
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


def _key_of(path: Path) -> bytes | None:
    """Return the key that signed the receipt, None where it has no signature that ssh-keygen would have written."""
    try:
        return signing_key_of(signature_of(path).read_bytes())
    except OSError:
        return None


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
