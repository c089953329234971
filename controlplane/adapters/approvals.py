"""Approvals as signed files: `<site>/state/approvals/<digest>.json`.

Rules:
- An approval is judged at the time of its use: a key that is no longer allowed then approves nothing, one that expires later takes nothing back.
- The marks of its use and of its end lie beside it, so that the signed bytes never change.
- It is read once: what it says is what its signature was judged on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.signing import SshSigner
from controlplane.domain.approval import Approval
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.signers import APPROVALS


class ApprovalFiles:
    """One file a plan."""

    def __init__(self, folder: Path, signer: SshSigner) -> None:
        self._folder = folder
        self._signer = signer

    def add(self, approval: Approval) -> Approval:
        """Sign and store the approval, and return it by the name of the key that signed it, where the site has signers.

        An earlier one of the same plan, and its marks, are replaced. Raises `RefusedError` for a key that may not, `RunFailedError` where it can't be
        written.
        """
        path = self._path(approval.plan)
        content = (approval.model_dump_json(indent=2, exclude={"used_by", "expired"}) + "\n").encode()
        with _writing(path, "so the plan is not approved"):
            principal = self._signer.sign(path, content, APPROVALS)
            write_durably(path, content)
            self._mark(approval.plan, "used").unlink(missing_ok=True)
            self._mark(approval.plan, "expired").unlink(missing_ok=True)
        return approval.model_copy(update={"approver": principal or approval.approver})

    def signs_as(self) -> str | None:
        """Return how the allowed signers name the operator's own key; None where they do not."""
        return self._signer.own_principal()

    def find(self, plan: str, *, at: datetime) -> Approval | None:
        """Return the approval of that plan whose signature holds at that time, or None. Raises `RefusedError` for a wrong signature."""
        path = self._path(plan)
        try:
            return self._read(plan, path, at)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RefusedError(
                f"{path} can't be read ({error.strerror}), so nobody knows whether the plan is approved. Nothing was changed. Let this user read it, "
                "or run this as the one whose folder it is."
            ) from None

    def _read(self, plan: str, path: Path, at: datetime | None) -> Approval:
        content = path.read_bytes()
        judged = self._signer.judged(path, content, APPROVALS, at=at)
        if judged.fault is not None:
            raise RefusedError(
                f"the approval {path} {judged.fault}. Have the plan approved again by one of the site's allowed signers. Nothing was changed."
            )
        try:
            approval = Approval.model_validate_json(content)
        except ValidationError:
            raise RefusedError(f"{path} is no approval. Have the plan approved again. Nothing was changed.") from None
        # Who signed is who approved; the name inside the file only counts where the site has no signers.
        return approval.model_copy(
            update={
                "used_by": self._marked(plan, "used"),
                "expired": self._marked(plan, "expired") is not None,
                "approver": judged.principal or approval.approver,
            }
        )

    def use(self, plan: str, run: str) -> None:
        """Mark the approval as used by `run`, durably and once.

        Raises `RefusedError` when another run was first, `RunFailedError` where it can't be marked.
        """
        mark = self._mark(plan, "used")
        with _writing(mark, "and nothing goes on by an approval whose use is not kept"):
            try:
                write_durably(mark, f"{run}\n".encode(), exclusive=True)
            except FileExistsError:
                first = mark.read_text().strip()
                if first != run:
                    raise RefusedError(f"the approval of {plan} was used by {first} a moment ago. Nothing was changed.") from None

    def expire(self, plan: str, *, seen_at: str) -> None:
        """Mark the approval as seen expired, durably: a clock that is set back does not revive it. Raises `RunFailedError` where that can't be."""
        mark = self._mark(plan, "expired")
        with _writing(mark, "and a clock that is set back would revive the approval, which is over"):
            write_durably(mark, f"{seen_at}\n".encode())

    def _marked(self, plan: str, what: str) -> str | None:
        try:
            return self._mark(plan, what).read_text().strip()
        except FileNotFoundError:
            return None

    def _path(self, plan: str) -> Path:
        return self._folder / f"{plan.removeprefix('sha256:')}.json"

    def _mark(self, plan: str, what: str) -> Path:
        return self._folder / f"{plan.removeprefix('sha256:')}.{what}"


@contextmanager
def _writing(path: Path, so: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = f"{path} can't be written ({error.strerror or error}), {so}"
        raise RunFailedError(f"{why}. Make room there, or let this user write there, then run the same command again.") from None
