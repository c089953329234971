"""Signatures by `ssh-keygen -Y verify`, against the site's allowed signers.

Rules:
- `check-novalidate` is never used: a signature counts only by a line that names the key, in its namespace, at its time.
- The time is that of what was signed, so that a key that expired since doesn't break it. Times in the file are read as UTC, wherever that is.
- ssh-keygen reads copies in memory of what was read here once, so that a file that is swapped meanwhile is not what was judged.
- Armour that ssh-keygen would read and not write is a fault: no byte of a signature can be changed unseen.
- What was judged once in a process is not judged again, nor what this user's earlier verbs found good (judged_before.py), unless all is to be judged
  anew; whose key it is is asked once a key.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from controlplane.adapters.judged_before import JudgedBefore, cache_folder, key_of
from controlplane.adapters.memory_files import InMemory
from controlplane.domain.errors import Fault, InputInvalidError, RunFailedError
from controlplane.domain.signers import role_of

_LIMIT_S = 30
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"\n-----END SSH SIGNATURE-----\n"
_WIDTH = 70
_TIMED = re.compile(r"key (?:has expired|is not yet valid): (.*)")


class Signed(NamedTuple):
    """Something with its signature beside `path`; `at` is when it is judged, None: now."""

    path: Path
    content: bytes
    at: datetime | None


class Judged(NamedTuple):
    """Who signed it, by the allowed signers, and why that does not hold; both None without signers."""

    principal: str | None
    fault: str | None


@cache
def signatures_by(allowed: Path, *, anew: bool = False) -> Signatures:
    """Return what judges by that file; a process has one of each, so that the parts of a verb share what was judged. See `Signatures` for `anew`."""
    return Signatures(allowed, None if anew else cache_folder())


class Signatures:
    """Judges by one file of allowed signers, as it is each time. Below `memory` lies what was found good before; None judges all anew."""

    def __init__(self, allowed: Path, memory: Path | None = None) -> None:
        self._allowed = allowed
        self._memory = memory
        self._before: dict[bytes, JudgedBefore] = {}
        self._copies: dict[bytes, InMemory] = {}
        self._lock = Lock()
        self._known: dict[tuple[bytes, bytes, bytes, str, datetime | None], Judged] = {}
        self._principals: dict[tuple[bytes, bytes], str] = {}

    def judge_all(self, signed: Iterable[Signed], namespace: str) -> list[Judged]:
        """Return how each stands, in their order."""
        # The work is in other processes, two at the least so that one starts while the other ends.
        with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as workers:
            judged = list(workers.map(lambda one: self.judge(one, namespace), signed))
        for before in self._before.values():
            before.keep()
        return judged

    def judge(self, signed: Signed, namespace: str) -> Judged:
        """Return who signed it and why that does not hold. Raises `InputInvalidError` where there are no allowed signers to judge by."""
        try:
            held = signature_of(signed.path).read_bytes()
        except FileNotFoundError:
            return Judged(None, "has no signature")
        except OSError as error:
            return Judged(None, f"has a signature that can't be read ({error.strerror})")
        return self.judge_held(signed, held, namespace)

    def judge_held(self, signed: Signed, held: bytes, namespace: str) -> Judged:
        """Return as `judge` does by a signature that need not lie beside it."""
        by = self._signers()
        place = (by, sha256(signed.content).digest(), sha256(held).digest(), namespace, signed.at)
        if signed.at is None:
            return self._judge(signed, held, namespace, by)
        if place not in self._known:
            self._known[place] = self._judge_unless_known(signed, held, namespace, by)
        return self._known[place]

    def principal(self, held: bytes) -> str | None:
        """Return whose key made the signature; None where nobody's did that is allowed now."""
        with InMemory(held) as signature:
            return self._find(signature.path, self._signers(), None)[0]

    def read(self) -> None:
        """Read the allowed signers. Raises `InputInvalidError` where they can't be read."""
        self._signers()

    def _judge_unless_known(self, signed: Signed, held: bytes, namespace: str, by: bytes) -> Judged:
        before = self._before.get(by) or self._before.setdefault(by, JudgedBefore(self._memory, by))
        key = key_of(signed.content, held, namespace, "" if signed.at is None else signed.at.astimezone(UTC).isoformat())
        found = before.principal(key)
        if found is not None:
            return Judged(found, None)
        judged = self._judge(signed, held, namespace, by)
        if judged.principal is not None and judged.fault is None:
            before.add(key, judged.principal)
        return judged

    def _judge(self, signed: Signed, held: bytes, namespace: str, by: bytes) -> Judged:
        key = signing_key_of(held)
        if key is None:
            return Judged(None, "has a signature that was altered: ssh-keygen does not write it so")
        with InMemory(held) as signature:
            known = self._principals.get((by, key))
            if known is not None and self._verify(signed, signature.path, namespace, known, by) is None:
                return Judged(known, None)
            principal, told = self._find(signature.path, by, signed.at)
            if principal is None:
                return Judged(None, self._unnamed(told))
            self._principals.setdefault((by, key), principal)
            refused = self._verify(signed, signature.path, namespace, principal, by)
        return Judged(principal, None if refused is None else self._why(refused, principal, namespace))

    def _signers(self) -> bytes:
        """Return the digest of the allowed signers as they are now; a copy of just those is kept."""
        try:
            content = self._allowed.read_bytes()
        except OSError as error:
            told = f"can't be read ({error.strerror}): it names the keys of those who may sign"
            raise InputInvalidError([Fault(str(self._allowed), 0, "", told)]) from None
        by = sha256(content).digest()
        with self._lock:
            if by not in self._copies:
                self._copies[by] = InMemory(content)
        return by

    def _find(self, signature: Path, by: bytes, at: datetime | None) -> tuple[str | None, str]:
        done = self._keygen("find-principals", by, "-s", str(signature), at=at)
        names = done.stdout.decode(errors="replace").splitlines()
        # It names the copy that it read.
        told = done.stderr.decode(errors="replace").replace(str(self._copies[by].path), str(self._allowed))
        return (names[0] if done.returncode == 0 and names else None), told

    def _verify(self, signed: Signed, signature: Path, namespace: str, principal: str, by: bytes) -> str | None:
        """Return what ssh-keygen objects to, or None."""
        done = self._keygen("verify", by, "-I", principal, "-n", namespace, "-s", str(signature), at=signed.at, content=signed.content)
        return None if done.returncode == 0 else done.stderr.decode(errors="replace")

    def _keygen(self, what: str, by: bytes, *more: str, at: datetime | None, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        timed = [] if at is None else ["-O", f"verify-time={at.astimezone(UTC):%Y%m%d%H%M%S}"]
        argv = ["ssh-keygen", "-Y", what, "-f", str(self._copies[by].path), *more, *timed]
        try:
            # In the verifier's own zone a key would expire earlier or later than elsewhere.
            here = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
            return subprocess.run(argv, input=content, capture_output=True, timeout=_LIMIT_S, check=False, env=here)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RunFailedError(f"ssh-keygen could not check a signature: {error}. Is OpenSSH installed?") from None

    def _unnamed(self, told: str) -> str:
        timed = _TIMED.search(told)
        if timed is not None:
            return f"is signed by a key that {self._allowed.name} does not allow at that time: {timed[1].strip()}"
        # What it can't read of the file it says by the line's number: an option, a key, or what should be one of the two.
        unread = re.compile(rf"{re.escape(str(self._allowed))}:\d+: ")
        broken = "; ".join(line.strip() for line in told.splitlines() if unread.match(line))
        return f"is signed by a key that {self._allowed.name} does not name" + (f" ({broken})" if broken else "")

    def _why(self, told: str, principal: str, namespace: str) -> str:
        if "not permitted for use in signature namespace" in told:
            return f"is signed by {principal}, who is no {role_of(namespace)}: the namespaces of that key in {self._allowed.name} lack {namespace}"
        return "does not fit its signature"


def signature_of(path: Path) -> Path:
    """Return where the signature of `path` lies."""
    return path.with_name(f"{path.name}.sig")


def signing_key_of(armoured: bytes) -> bytes | None:
    """Return the public key in a signature; None for anything that ssh-keygen would not have written in just this way."""
    if not armoured.startswith(_BEGIN) or not armoured.endswith(_END):
        return None
    try:
        blob = base64.b64decode(armoured[len(_BEGIN) : -len(_END)].replace(b"\n", b""), validate=True)
    except binascii.Error:
        return None
    text = base64.b64encode(blob)
    lines = b"\n".join(text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH))
    # ssh-keygen reads version 0 too, and what is reserved is not signed.
    if armoured != _BEGIN + lines + _END or blob[:10] != b"SSHSIG\0\0\0\1":
        return None
    key, rest = _string(blob[10:])
    _namespace, rest = _string(rest)
    reserved, rest = _string(rest)
    return key if key and not reserved and rest else None


def _string(blob: bytes) -> tuple[bytes, bytes]:
    """Return the first string of ssh's wire format, and what follows it."""
    end = 4 + int.from_bytes(blob[:4], "big")
    return blob[4:end], blob[end:]
