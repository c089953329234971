"""Keys of a team, and chains of receipts signed with them."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

from controlplane.adapters.anchors import AnchorFiles
from controlplane.adapters.receipts import ReceiptFiles
from controlplane.adapters.signing import SshSigner
from controlplane.domain.coordination import stamp_of
from controlplane.domain.digest import digest_of, digest_of_bytes
from controlplane.domain.finding import Summary
from controlplane.domain.receipt import ChainFault, Receipt
from controlplane.domain.releases.closeout import ReleaseCloseout
from controlplane.domain.waves.closeout import Attestation, Closeout
from controlplane.usecases.verify_receipts import Verified, verify_receipts
from tests.fakes.evidence_builder import COLLECTED

TEAM = ("ann", "ben", "eve")


def make_keys(folder: Path) -> Path:
    """Write the keys of the team, and `signers` that names ann and ben for everything; return the folder."""
    for name in TEAM:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
    write_signers(folder / "signers", folder, ann="", ben="")
    return folder


def write_signers(file: Path, keys: Path, **options: str) -> Path:
    """Write the allowed signers, each with its options such as `namespaces="…"`; return the file."""
    lines = [f"{name}@example.org {said} {(keys / f'{name}.pub').read_text()}" for name, said in options.items()]
    file.write_text("".join(lines))
    return file


def receipt(number: int, phase: str = "intent", *, minute: int = 0, site: str = "lab", **other: object) -> Receipt:
    """Return the receipt of step `number`, `minute` minutes after the first."""
    key = f"CAP-20260102-120000__storage.fstab__R{number:04x}"
    at = stamp_of(COLLECTED + timedelta(minutes=minute))
    plain = {"seq": 0, "previous": None, "key": key, "run": key, "phase": phase, "at": at, "site": site, "host": "mint-data"}
    plain |= {"capability": "storage.fstab", "step": "mint-data/010", "plan": "sha256:p", "policy": "sha256:q", "operator": "ann@desk"}
    plain |= {"outcome": "done", "told": {"lines": ["UUID=1 /mnt/data"]}} if phase == "result" else {}
    return Receipt.model_validate(plain | other)


def grow(store: ReceiptFiles, count: int, *, first: int = 1, site: str = "lab") -> None:
    """Append `count` receipts, an intent and a result by turns, a minute each."""
    for place in range(count):
        number, phase = first + place // 2, "result" if place % 2 else "intent"
        store.append(receipt(number, phase, minute=2 * first + place, site=site))


def close_wave(site: Path, store: ReceiptFiles, *, minute: int, name: str = "W8B") -> Path:
    """Leave a closeout behind as closing a wave does, with its receipts; return its file."""
    chain = [one for _, one in store.load()]
    made = Closeout(
        site="lab",
        wave=name,
        goal="data off the boot disk",
        attempt="20260102-120000",
        outcome="closed",
        opened_by="ann@desk",
        opened_at="2026-01-02T12:00:00Z",
        evidence=(),
        preflight=None,
        post=None,
        gates=(),
        files_changed=(),
        plans=(),
        actions=(),
        gaps=(),
        loops=(),
        verify=Summary(met=9, drifted=0, waived=0, unknown=0),
        remaining=(),
        carved=(),
        deferred=(),
        outputs={},
        chain_length=len(chain),
        chain_head=chain[-1].digest(),
        attestation=Attestation(by="ann@desk", at=stamp_of(COLLECTED + timedelta(minutes=minute)), text="as planned"),
    )
    return _keep_closeout(site, f"state/waves/{name}", store, made, capability="wave.close", step=name, minute=minute)


def close_release(site: Path, store: ReceiptFiles, *, minute: int, stack: str = "storefront") -> Path:
    """Leave a closeout behind as closing a release in production does, with its receipts; return its file."""
    chain = [one for _, one in store.load()]
    made = ReleaseCloseout(
        site="lab",
        stack=stack,
        goal="orders with a priority",
        environment="production",
        manifest="v1",
        digest="sha256:m",
        commit="a" * 40,
        images={},
        attempt="production-20260102-130000-00ff",
        outcome="closed",
        evidence=(),
        files_changed=(),
        actions=(),
        own_loop=None,
        own_gaps=(),
        open_gaps=(),
        open_loops=(),
        verify=Summary(met=9, drifted=0, waived=0, unknown=0),
        remaining=(),
        not_undone=(),
        deferred=(),
        chain_length=len(chain),
        chain_head=chain[-1].digest(),
        attestation=Attestation(by="ann@desk", at=stamp_of(COLLECTED + timedelta(minutes=minute)), text="orders come in"),
    )
    return _keep_closeout(site, f"state/releases/{stack}", store, made, capability="release.close", step=f"{stack}/production", minute=minute)


def _keep_closeout(
    site: Path, folder: str, store: ReceiptFiles, made: Closeout | ReleaseCloseout, *, capability: str, step: str, minute: int
) -> Path:
    name, page = f"{folder}/{made.attempt}/closeout.json", f"{folder}/{made.attempt}/closeout.md"
    file = site / name
    file.parent.mkdir(parents=True)
    file.write_text(made.model_dump_json(indent=2) + "\n")
    (site / page).write_text("# closed\n")
    key = f"CAP-20260102-120000__{capability}__R00ff"
    mine = {"key": key, "run": key, "capability": capability, "host": "*", "step": step, "plan": ""}
    store.append(receipt(255, minute=minute, **mine))
    told = {"attempt": made.attempt, "file": name, "page": page, "chain_length": made.chain_length, "chain_head": made.chain_head}
    if capability == "wave.close":
        told["page_digest"] = digest_of_bytes((site / page).read_bytes())
    store.append(receipt(255, "result", minute=minute, evidence=digest_of(made.model_dump(mode="json")), **mine | {"told": told}))
    return file


def verified(receipts: Path, signer: SshSigner, *, heads: tuple[str, ...] = (), site: Path | None = None) -> Verified:
    """Return what `receipts verify` finds."""
    return verify_receipts(ReceiptFiles(receipts, signer), AnchorFiles(signer, heads=heads, site=site))


def faults(receipts: Path, signer: SshSigner, *, heads: tuple[str, ...] = (), site: Path | None = None) -> tuple[ChainFault, ...]:
    """Return the faults alone."""
    return verified(receipts, signer, heads=heads, site=site).faults
