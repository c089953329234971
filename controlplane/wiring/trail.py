"""Where the adapters of the evidence trail are constructed: receipts, what anchors them, approvals, signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane import wiring

if TYPE_CHECKING:
    from pathlib import Path

    from controlplane.adapters.anchors import AnchorFiles, HeadFiles
    from controlplane.adapters.approvals import ApprovalFiles
    from controlplane.adapters.receipts import ReceiptFiles
    from controlplane.adapters.signing import SshSigner
    from controlplane.domain.site import Site
    from controlplane.domain.waiver_ends import WaiverEnds


def receipts(given: str | None, *, anew: bool = False) -> ReceiptFiles:
    """Return the evidence trail of a site. Of its files site.yml alone is read: a broken policy or inventory is not in the way.

    With `anew` every signature is judged, whatever earlier verbs found.
    """
    from controlplane.adapters.receipts import ReceiptFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = wiring.site(given)
    return ReceiptFiles(folder.folder / "state" / "receipts", site_signer(folder.folder, folder.read_site(), anew=anew))


def waiver_ends(folder: Path, said: Site) -> WaiverEnds:
    """Return which waivers the receipts of a site say are over, or why nobody knows."""
    from controlplane.adapters.receipts import ReceiptFiles  # noqa: PLC0415 - a verb that isn't called costs nothing
    from controlplane.domain.chain import chain_faults  # noqa: PLC0415
    from controlplane.domain.errors import RunFailedError  # noqa: PLC0415
    from controlplane.domain.waiver_ends import WaiverEnds, ends_of  # noqa: PLC0415

    try:
        chain = ReceiptFiles(folder / "state" / "receipts", site_signer(folder, said)).load()
    except RunFailedError as error:
        return WaiverEnds(doubt=str(error))
    # One that is missing may be the one that said so. Who signed them is asked by whatever changes anything: it takes long.
    faults = chain_faults(chain)
    if faults:
        return WaiverEnds(doubt=f"{faults[0].file} {faults[0].reason}. Look into it with 'controlplane receipts verify'")
    return ends_of([receipt for _, receipt in chain])


def kept_receipts(folder: str, signers: str | None) -> ReceiptFiles:
    """Return the receipts in a folder that need not be a site's: with only public keys, and nothing else read."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.receipts import ReceiptFiles  # noqa: PLC0415

    return ReceiptFiles(Path(folder), _checker(signers))


def kept_anchors(heads: tuple[str, ...], signers: str | None) -> AnchorFiles:
    """Return the named heads of a chain that need not be a site's."""
    from controlplane.adapters.anchors import AnchorFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return AnchorFiles(_checker(signers), heads=heads)


def anchors(given: str | None, heads: tuple[str, ...]) -> AnchorFiles:
    """Return what holds a site's chain in its place: its closeouts and the named heads. Of its files site.yml alone is read, and closeouts."""
    from controlplane.adapters.anchors import AnchorFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = wiring.site(given)
    return AnchorFiles(site_signer(folder.folder, folder.read_site(), anew=True), heads=heads, site=folder.folder)


def head_files(given: str | None) -> HeadFiles:
    """Return the writer of a site's heads, with its key."""
    from controlplane.adapters.anchors import HeadFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = wiring.site(given)
    return HeadFiles(site_signer(folder.folder, folder.read_site()))


def approvals(given: str | None) -> ApprovalFiles:
    """Return the approvals of a site. Of its files site.yml alone is read."""
    from controlplane.adapters.approvals import ApprovalFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = wiring.site(given)
    return ApprovalFiles(folder.folder / "state" / "approvals", site_signer(folder.folder, folder.read_site()))


def site_signer(folder: Path, said: Site, *, anew: bool = False) -> SshSigner:
    """Return what signs and judges signatures by the keys that a site names."""
    from controlplane.adapters.signing import SshSigner  # noqa: PLC0415 - a verb that isn't called costs nothing

    return SshSigner(_within(folder, said.signing_key), _within(folder, said.allowed_signers), anew=anew)


def _checker(signers: str | None) -> SshSigner:
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.signing import SshSigner  # noqa: PLC0415

    return SshSigner(None, None if signers is None else Path(signers), anew=True)


def _within(folder: Path, named: str | None) -> Path | None:
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    return None if named is None else folder / Path(named).expanduser()
