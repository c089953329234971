"""Signing by `ssh-keygen -Y`, with the operator's own key or agent.

Rules:
- Each purpose has a namespace of its own, so that a signed receipt can never pass as an approval.
- A signature that the site's allowed signers would not let pass is never written: a chain can't be edited, so it must not be broken by a key
  that lacks its role. For the same reason nothing is written unsigned where the site names signers.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.signatures import Judged, Signed, signature_of, signatures_by
from controlplane.domain.coordination import stamp_of
from controlplane.domain.errors import RefusedError
from controlplane.domain.signers import role_of

_LIMIT_S = 30


class SshSigner:
    """Signs with `key` (private, or public with its private half in the agent) and verifies by `allowed_signers`; `anew` trusts no earlier verb."""

    def __init__(self, key: Path | None, allowed_signers: Path | None, *, anew: bool = False) -> None:
        self._key = key
        self._allowed = allowed_signers
        self._signatures = None if allowed_signers is None else signatures_by(allowed_signers.absolute(), anew=anew)

    @property
    def checks(self) -> bool:
        """Say whether there are signers to check by. Raises `InputInvalidError` where they can't be read."""
        if self._signatures is None:
            return False
        self._signatures.read()
        return True

    def sign(self, path: Path, content: bytes, namespace: str, *, at: datetime | None = None, back_from: datetime | None = None) -> str | None:
        """Write `path`.sig durably, before `path` itself is there: what shows is signed. Return how the allowed signers name the key.

        `at` is when its signature is said to be made, None: now; `back_from` a later time at which the key has to be allowed as well. Raises
        `RefusedError` when the key can't sign, has not the role or is not allowed then, and OSError where the file can't be written.
        """
        if self._key is not None:
            made = self._signature(content, namespace, path.name)
            signed = Signed(path, content, at)
            principal = self._allowed_principal(signed, made, namespace)
            if back_from is not None:
                self._refuse_unless_allowed(signed, made, namespace, at=back_from)
            write_durably(signature_of(path), made)
            return principal
        if self._allowed is not None:
            raise RefusedError(
                f"{path.name} was not written: {self._allowed.name} says who may sign, and there is no key. Name a signing_key in site.yml."
            )
        return None

    def own_principal(self) -> str | None:
        """Return how the allowed signers name the operator's own key; None where they do not, or there is no key."""
        if self._key is None or self._signatures is None:
            return None
        return self._signatures.principal(self._signature(b"whose key is this?", "controlplane-probe@v1", "a probe"))

    def judged(self, path: Path, content: bytes, namespace: str, *, at: datetime | None = None) -> Judged:
        """Return who signed `path` and why that does not hold at that time (None: now); `content` is what was read of it, and is believed."""
        if self._signatures is None:
            return Judged(None, None)
        return self._signatures.judge(Signed(path, content, at), namespace)

    def judged_all(self, signed: Iterable[Signed], namespace: str) -> list[Judged]:
        """Return as `judged` does for many, in their order."""
        return [Judged(None, None) for _ in signed] if self._signatures is None else self._signatures.judge_all(signed, namespace)

    def fault(self, path: Path, content: bytes, namespace: str, *, at: datetime | None = None) -> str | None:
        """Return why the signature of `path` does not hold, or None where it does or the site has no signers; for the rest see `judged`."""
        return self.judged(path, content, namespace, at=at).fault

    def _signature(self, content: bytes, namespace: str, what: str) -> bytes:
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self._key), "-n", namespace]
        try:
            done = subprocess.run(argv, input=content, capture_output=True, timeout=_LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RefusedError(f"{self._key} could not sign {what}: {error}. Is ssh-keygen installed, and does the agent answer?") from None
        if done.returncode != 0:
            told = done.stderr.decode(errors="replace").strip()
            raise RefusedError(f"{self._key} could not sign {what}: {told}. Load it into ssh-agent, or name another signing_key in site.yml.")
        return done.stdout

    def _allowed_principal(self, signed: Signed, made: bytes, namespace: str) -> str | None:
        if self._signatures is None:
            return None
        judged = self._signatures.judge_held(signed, made, namespace)
        if judged.fault is not None:
            raise RefusedError(
                f"{signed.path.name} was not written, because it {judged.fault} ({self._key}). Sign with the key of one who is "
                f"{role_of(namespace)}, or add this one to {self._allowed}."
            )
        return judged.principal

    def _refuse_unless_allowed(self, signed: Signed, made: bytes, namespace: str, *, at: datetime) -> None:
        fault = None if self._signatures is None else self._signatures.judge_held(signed._replace(at=at), made, namespace).fault
        if fault is not None:
            raise RefusedError(
                f"{signed.path.name} was not written: it sets the time back from {stamp_of(at)}, and it {fault} ({self._key}). Nothing was changed. "
                f"A key that ended before must not come back so: let one do it whose line in {self._allowed} ends later or never. Where nobody's "
                "does, add such a line."
            )
