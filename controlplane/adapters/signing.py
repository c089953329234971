"""Signatures by `ssh-keygen -Y`, with the operator's own key or agent.

Rules:
- Each purpose has a namespace of its own, so that a signed receipt can never pass as an approval.
- A signature is verified against the site's allowed signers; `check-novalidate` is never used.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from controlplane.adapters.durable_files import write_durably
from controlplane.domain.errors import RefusedError

APPROVALS = "controlplane-approval@v1"
RECEIPTS = "controlplane-receipt@v1"
_LIMIT_S = 30


class SshSigner:
    """Signs with `key` (private, or public with its private half in the agent) and verifies by `allowed_signers`."""

    def __init__(self, key: Path | None, allowed_signers: Path | None) -> None:
        self._key = key
        self._allowed = allowed_signers

    def sign(self, path: Path, content: bytes, namespace: str) -> None:
        """Write `path`.sig durably, before `path` itself is there: what shows is signed. Raises `RefusedError` when the key can't sign."""
        if self._key is not None:
            write_durably(signature_of(path), self._signature(content, namespace, path.name))

    def own_principal(self) -> str | None:
        """Return how the allowed signers name the operator's own key; None where they do not, or there is no key."""
        if self._key is None or self._allowed is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder, "probe")
            signature_of(probe).write_bytes(self._signature(b"whose key is this?", "controlplane-probe@v1", "a probe"))
            return self.principal(probe)

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

    def fault(self, path: Path, namespace: str) -> str | None:
        """Return why the signature of `path` does not hold, or None where it does or the site has no signers."""
        if self._allowed is None:
            return None
        signature = signature_of(path)
        if not signature.exists():
            return "has no signature"
        principal = self.principal(path)
        if principal is None:
            return f"is signed by a key that {self._allowed.name} does not name"
        argv = ["ssh-keygen", "-Y", "verify", "-f", str(self._allowed), "-I", principal, "-n", namespace, "-s", str(signature)]
        done = subprocess.run(argv, input=path.read_bytes(), capture_output=True, timeout=_LIMIT_S, check=False)
        return None if done.returncode == 0 else "does not fit its signature"

    def principal(self, path: Path) -> str | None:
        """Return whose key signed `path`, by the allowed signers; None where nobody's did."""
        if self._allowed is None:
            return None
        argv = ["ssh-keygen", "-Y", "find-principals", "-s", str(signature_of(path)), "-f", str(self._allowed)]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False)
        names = done.stdout.decode(errors="replace").split()
        return names[0] if done.returncode == 0 and names else None


def signature_of(path: Path) -> Path:
    """Return where the signature of `path` lies."""
    return path.with_name(f"{path.name}.sig")
