"""The evidence trail, what holds it in its place, and the approvals."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from controlplane.domain.approval import Approval
from controlplane.domain.chain import Anchor, Named
from controlplane.domain.receipt import ChainFault, Receipt


class ReceiptStore(Protocol):
    """The chain of receipts in the site's state folder."""

    def load(self) -> tuple[tuple[str, Receipt], ...]:
        """Return (file name, receipt) in order. Raises `RunFailedError` for a file that is no receipt."""
        ...

    def append(self, receipt: Receipt) -> Receipt:
        """Write the receipt durably as the next link and return it with its number, predecessor and time. Raises `RefusedError`, `RunFailedError`."""
        ...

    def signature_faults(self) -> tuple[ChainFault, ...]:
        """Return each receipt whose signature is missing or wrong at its time, where the site has signers, or whose bytes were rewritten."""
        ...

    def examine(self) -> tuple[tuple[tuple[str, Receipt], ...], tuple[ChainFault, ...]]:
        """Return (file name, receipt) in order, and what is wrong with single files; one that is no receipt is among the faults alone."""
        ...

    @property
    def checks_signatures(self) -> bool:
        """Say whether there are signers to check by. Raises `InputInvalidError` where they can't be read."""
        ...


class AnchorSource(Protocol):
    """What holds a chain in its place: heads that are kept elsewhere, and closeouts."""

    def read(self) -> tuple[tuple[Anchor, ...], tuple[ChainFault, ...]]:
        """Return the anchors and what is wrong with their files. Raises `InputInvalidError` for a named head that is none."""
        ...

    def lost(self, receipts: Named) -> tuple[ChainFault, ...]:
        """Return each file that a receipt of a closing names and that is gone or is another one; none where no site's files are looked at."""
        ...


class ApprovalStore(Protocol):
    """Signed approvals of plans; each is used once."""

    def find(self, plan: str, *, at: datetime) -> Approval | None:
        """Return the approval of that plan whose signature holds at that time, or None. Raises `RefusedError` for a wrong signature."""
        ...

    def add(self, approval: Approval) -> Approval:
        """Sign and store the approval, and return it by the name of the key that signed it, where the site has signers."""
        ...

    def signs_as(self) -> str | None:
        """Return how the site's allowed signers name the operator's own key, or None."""
        ...

    def use(self, plan: str, run: str) -> None:
        """Mark the approval as used by `run`, once. Raises `RefusedError` when another run was first."""
        ...

    def expire(self, plan: str, *, seen_at: str) -> None:
        """Mark the approval as seen expired: from then on it is, whatever the clock says."""
        ...
