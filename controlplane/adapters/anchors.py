"""What holds a chain of receipts in its place: heads that were exported, and the closeouts of waves and releases.

Rules:
- A head counts only with a signature of its own, where there are signers.
- A closeout needs none: its digest is in the signed receipt that closed its wave or release, and it anchors what came before that.
- That receipt names its files, and so does that of a release's beginning what was before it: one that is gone is told as one that was altered is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.listing import names_in
from controlplane.adapters.signing import SshSigner
from controlplane.domain.chain import Anchor, Head, Named, files_of
from controlplane.domain.coordination import moment_of
from controlplane.domain.digest import digest_of, digest_of_bytes
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.receipt import ChainFault
from controlplane.domain.releases.closeout import ReleaseCloseout
from controlplane.domain.signers import HEADS
from controlplane.domain.waves.closeout import Closeout

_ANY, _CLOSEOUT = re.compile(r".+", re.DOTALL), re.compile(r"closeout(-[0-9]+)?\.json")
_WITH = {"closeout": "closed", "page": "closed", "before": "began"}


class AnchorFiles:
    """The heads that are named, and the closeouts of a site's waves and releases where there is a site."""

    def __init__(self, signer: SshSigner, *, heads: Sequence[str] = (), site: Path | None = None) -> None:
        self._signer = signer
        self._heads = heads
        self._site = site

    def read(self) -> tuple[tuple[Anchor, ...], tuple[ChainFault, ...]]:
        """Return the anchors and what is wrong with their files. Raises `InputInvalidError` for a named head that is none."""
        anchors: list[Anchor] = []
        faults: list[ChainFault] = []
        for name in self._heads:
            content = _content(name)
            if b'"chain_head"' in content:
                anchors.append(_closeout(content, name))
                continue
            anchors.append(_head(content, name))
            fault = self._signer.fault(Path(name), content, HEADS, at=moment_of(anchors[-1].at))
            faults += [ChainFault(file=name, reason=fault)] if fault is not None else []
        names, unread = _closeouts_of(self._site) if self._site is not None else ([], [])
        for name in names:
            try:
                anchors.append(_closeout(Path(self._site or "", name).read_bytes(), name))
            except FileNotFoundError:
                continue
            except (OSError, InputInvalidError):
                faults.append(ChainFault(file=name, reason="is no closeout, can't be read, or was altered"))
        return tuple(anchors), (*faults, *unread)

    def lost(self, receipts: Named) -> tuple[ChainFault, ...]:
        """Return each file that a closing, or the beginning of a release, names and that is gone or is another one; none without a site."""
        if self._site is None:
            return ()
        named = [(receipt.key, *one) for _, receipt in receipts for one in files_of(receipt)]
        found = ((file, _why_lost(self._site / file, digest, kind, key)) for key, file, digest, kind in named)
        return tuple(ChainFault(file=file, reason=why) for file, why in found if why is not None)


def _why_lost(path: Path, digest: str, kind: Literal["closeout", "page", "before"], key: str) -> str | None:
    """Return why a file is not what the receipt with that key says, or None."""
    try:
        content = path.read_bytes()
        found = digest_of_bytes(content) if kind == "page" else digest_of(json.loads(content))
    except OSError as error:
        return f"can't be read ({error.strerror}), and {key} {_WITH[kind]} with it: restore it from a copy"
    except ValueError:
        return f"is no JSON, and {key} {_WITH[kind]} with it: restore it from a copy"
    return None if found == digest else f"was altered: {key} names another digest"


def _closeouts_of(site: Path) -> tuple[list[str], list[ChainFault]]:
    """Return the closeouts below a site's folder, and each folder that can't be read: what it holds, nobody knows.

    An attempt that was closed once more has one beside the first, such as `closeout-2.json`.
    """
    folders, faults = ["state/waves", "state/releases"], []
    # By wave or stack, by attempt, and what lies there.
    for pattern in (_ANY, _ANY, _CLOSEOUT):
        below: list[str] = []
        for folder in folders:
            try:
                below += [f"{folder}/{name}" for name in names_in(site / folder) if pattern.fullmatch(name)]
            except NotADirectoryError:
                continue
            except OSError as error:
                faults.append(ChainFault(file=folder, reason=f"can't be listed ({error.strerror}): which closeouts it holds is not known"))
        folders = below
    return folders, faults


class HeadFiles:
    """Writes heads, to be kept elsewhere."""

    def __init__(self, signer: SshSigner) -> None:
        self._signer = signer

    def write(self, path: str, head: Head) -> None:
        """Write the head and its signature, whole or not at all. Raises `InputInvalidError`, `RefusedError`."""
        content = (head.model_dump_json(indent=2) + "\n").encode()
        try:
            self._signer.sign(Path(path), content, HEADS, at=moment_of(head.at))
            write_durably(Path(path), content, mode=0o644)
        except OSError as error:
            raise InputInvalidError([Fault(path, 0, "--out", f"can't be written ({error.strerror}): name a file in a folder of yours")]) from None


def _content(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InputInvalidError([Fault(name, 0, "--head", f"can't be read ({error.strerror})")]) from None


def _head(content: bytes, name: str) -> Anchor:
    try:
        head = Head.model_validate_json(content)
    except ValidationError:
        raise InputInvalidError([Fault(name, 0, "--head", "is no head: 'controlplane receipts head --out FILE' writes one")]) from None
    return Anchor(source=name, kind="head", site=head.site, length=head.length, head=head.head, at=head.at)


def _closeout(content: bytes, name: str) -> Anchor:
    try:
        made = (ReleaseCloseout if _is_of_release(content) else Closeout).model_validate_json(content)
        moment_of(made.attestation.at)
        if to_json(from_json(content), indent=2) + b"\n" != content:
            raise ValueError("it is not in the form in which closeouts are written")
    except (ValidationError, ValueError) as error:
        raise InputInvalidError([Fault(name, 0, "--head", f"is no closeout, or was altered: {str(error).splitlines()[0]}")]) from None
    return Anchor(
        source=name,
        kind="closeout",
        site=made.site,
        length=made.chain_length,
        head=made.chain_head,
        at=made.attestation.at,
        attempt=made.attempt,
        receipt=digest_of(json.loads(content)),
        closing="release.close" if isinstance(made, ReleaseCloseout) else "wave.close",
    )


def _is_of_release(content: bytes) -> bool:
    said = from_json(content)
    return isinstance(said, dict) and "stack" in said
