"""Signing by `ssh-keygen -Y`, with the operator's own key or agent.

Rules:
- Each purpose has a namespace of its own, so that a signed receipt can never pass as an approval.
- A signature that the site's allowed signers would not let pass is never written: a chain can't be edited, so it must not be broken by a key
  that lacks its role. For the same reason nothing is written unsigned where the site names signers.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.signatures import Judged, Signed, signature_of, signatures_by
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
        """Say whether there are signers to check by."""
        return self._signatures is not None

    def sign(self, path: Path, content: bytes, namespace: str, *, at: datetime | None = None) -> str | None:
        """Write `path`.sig durably, before `path` itself is there: what shows is signed. Return how the allowed signers name the key.

        `at` is when its signature is said to be made, None: now. Raises `RefusedError` when the key can't sign, or has not the role.
        """
        if self._key is not None:
            made = self._signature(content, namespace, path.name)
            principal = self._allowed_principal(path.name, content, made, namespace, at)
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
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder, "probe")
            signature_of(probe).write_bytes(self._signature(b"whose key is this?", "controlplane-probe@v1", "a probe"))
            return self._signatures.principal(signature_of(probe), at=None)

    def judged(self, path: Path, namespace: str, *, at: datetime | None = None) -> Judged:
        """Return who signed `path` and why that does not hold at that time (None: now)."""
        if self._signatures is None:
            return Judged(None, None)
        return self._signatures.judge(Signed(path, path.read_bytes(), at), namespace)

    def judged_all(self, signed: Iterable[Signed], namespace: str) -> list[Judged]:
        """Return as `judged` does for many, in their order."""
        return [Judged(None, None) for _ in signed] if self._signatures is None else self._signatures.judge_all(signed, namespace)

    def fault(self, path: Path, namespace: str, *, at: datetime | None = None) -> str | None:
        """Return why the signature of `path` does not hold, or None where it does or the site has no signers."""
        return self.judged(path, namespace, at=at).fault

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

    def _allowed_principal(self, name: str, content: bytes, made: bytes, namespace: str, at: datetime | None) -> str | None:
        if self._signatures is None or self._allowed is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            trial = Path(folder, name)
            signature_of(trial).write_bytes(made)
            judged = self._signatures.judge(Signed(trial, content, at), namespace)
        if judged.fault is not None:
            raise RefusedError(
                f"{name} was not written, because it {judged.fault} ({self._key}). Sign with the key of one who is {role_of(namespace)}, or add this "
                f"one to {self._allowed}."
            )
        return judged.principal
