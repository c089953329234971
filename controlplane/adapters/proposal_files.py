"""Proposed changes of modes as files; one whose digest does not fit its content is refused before anything looks at it.

A file is read once: whose it is said to be is judged on what was read, whatever lies there by then.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.signing import SshSigner
from controlplane.adapters.text_files import read_text
from controlplane.domain.errors import Fault, InputInvalidError, RefusedError
from controlplane.domain.gates.proposal import Proposal
from controlplane.domain.signers import PROPOSALS

_MAKE = "Make one with 'controlplane gates promote CHECK --out FILE'"


class ProposalFiles:
    """Reads and writes proposals; with a signer each has its author's signature beside it."""

    def __init__(self, signer: SshSigner | None = None) -> None:
        self._signer = signer or SshSigner(None, None)
        self._text: dict[str, str] = {}

    def author(self, path: str, *, at: datetime) -> str | None:
        """Return whose key signed what `read` read there, None where the site has no signers. Raises `RefusedError` where that does not hold."""
        judged = self._signer.judged(Path(path), self._read(path).encode(), PROPOSALS, at=at)
        if judged.fault is not None:
            raise RefusedError(
                f"the proposal {path} {judged.fault}. Nothing was changed. Have one of the site's authors propose it, and keep {path}.sig beside it."
            )
        return judged.principal

    def read(self, path: str) -> Proposal:
        """Return the proposal. Raises `InputInvalidError`, also where its digest does not fit its content."""
        try:
            self._text.pop(path, None)
            proposal = Proposal.model_validate_json(self._read(path))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputInvalidError([Fault(path, 0, place, f"is no proposal: {first['msg']}. {_MAKE}")]) from None
        if proposal.proposal != proposal.expected():
            raise InputInvalidError([Fault(path, 0, "", f"was altered after it was made: its digest does not fit. {_MAKE}")])
        return proposal

    def write(self, path: str, proposal: Proposal) -> None:
        """Write the proposal whole or not at all. Raises `InputInvalidError` where it can't be written, `RefusedError` for a key that may not."""
        try:
            content = (proposal.model_dump_json(indent=2) + "\n").encode()
            self._signer.sign(Path(path), content, PROPOSALS)
            write_durably(Path(path), content, mode=0o644)
        except OSError as error:
            raise InputInvalidError([Fault(path, 0, "--out", f"can't be written ({error.strerror}): name a file in a folder of yours")]) from None

    def _read(self, path: str) -> str:
        if path not in self._text:
            self._text[path] = read_text(Path(path))
        return self._text[path]
