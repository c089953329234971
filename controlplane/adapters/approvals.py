"""Approvals as signed files: `<site>/state/approvals/<digest>.json`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.signing import APPROVALS, SshSigner
from controlplane.domain.approval import Approval
from controlplane.domain.errors import RefusedError


class ApprovalFiles:
    """One file a plan; the mark of its use lies beside it, so that the signed bytes never change."""

    def __init__(self, folder: Path, signer: SshSigner) -> None:
        self._folder = folder
        self._signer = signer

    def add(self, approval: Approval) -> None:
        """Sign and store the approval; an earlier one of the same plan, and the mark of its use, are replaced."""
        path = self._path(approval.plan)
        content = (approval.model_dump_json(indent=2) + "\n").encode()
        self._signer.sign(path, content, APPROVALS)
        write_durably(path, content)
        self._used(approval.plan).unlink(missing_ok=True)

    def signs_as(self) -> str | None:
        """Return how the allowed signers name the operator's own key; None where they do not."""
        return self._signer.own_principal()

    def find(self, plan: str) -> Approval | None:
        """Return the approval of that plan whose signature holds, or None. Raises `RefusedError` for a wrong signature."""
        path = self._path(plan)
        if not path.exists():
            return None
        fault = self._signer.fault(path, APPROVALS)
        if fault is not None:
            raise RefusedError(
                f"the approval {path} {fault}. Have the plan approved again by one of the site's allowed signers. Nothing was changed."
            )
        try:
            approval = Approval.model_validate_json(path.read_bytes())
        except ValidationError:
            raise RefusedError(f"{path} is no approval. Have the plan approved again. Nothing was changed.") from None
        used = self._used(plan)
        # Who signed is who approved; the name inside the file only counts where the site has no signers.
        signer = self._signer.principal(path)
        return approval.model_copy(update={"used_by": used.read_text().strip() if used.exists() else None, "approver": signer or approval.approver})

    def use(self, plan: str, run: str) -> None:
        """Mark the approval as used by `run`, durably and once. Raises `RefusedError` when another run was first."""
        try:
            write_durably(self._used(plan), f"{run}\n".encode(), exclusive=True)
        except FileExistsError:
            first = self._used(plan).read_text().strip()
            if first != run:
                raise RefusedError(f"the approval of {plan} was used by {first} a moment ago. Nothing was changed.") from None

    def _path(self, plan: str) -> Path:
        return self._folder / f"{plan.removeprefix('sha256:')}.json"

    def _used(self, plan: str) -> Path:
        return self._folder / f"{plan.removeprefix('sha256:')}.used"
