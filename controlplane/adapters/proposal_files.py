"""Proposed changes of modes as files; one whose digest does not fit its content is refused before anything looks at it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.text_files import read_text
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.gates.proposal import Proposal

_MAKE = "Make one with 'controlplane gates promote CHECK --out FILE'"


class ProposalFiles:
    """Reads and writes proposals."""

    def read(self, path: str) -> Proposal:
        """Return the proposal. Raises `InputInvalidError`, also where its digest does not fit its content."""
        try:
            proposal = Proposal.model_validate_json(read_text(Path(path)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputInvalidError([Fault(path, 0, place, f"is no proposal: {first['msg']}. {_MAKE}")]) from None
        if proposal.proposal != proposal.expected():
            raise InputInvalidError([Fault(path, 0, "", f"was altered after it was made: its digest does not fit. {_MAKE}")])
        return proposal

    def write(self, path: str, proposal: Proposal) -> None:
        """Write the proposal whole or not at all. Raises `InputInvalidError` where it can't be written."""
        try:
            write_durably(Path(path), (proposal.model_dump_json(indent=2) + "\n").encode(), mode=0o644)
        except OSError as error:
            raise InputInvalidError([Fault(path, 0, "--out", f"can't be written ({error.strerror}): name a file in a folder of yours")]) from None
