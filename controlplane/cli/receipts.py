"""receipts: the evidence trail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import output_option, site_option

if TYPE_CHECKING:
    from controlplane.ports.receipts import ReceiptStore
    from controlplane.usecases.verify_receipts import Verified


@click.group(epilog="Example: controlplane receipts verify")
def receipts() -> None:
    """Read and check the signed evidence trail."""


@receipts.command("list", epilog="Example: controlplane receipts list -o json")
@site_option
@output_option()
def list_receipts(site: str | None, output: str) -> int:
    """List every receipt, oldest first."""
    chain = _store(site).load()
    if output == "json":
        click.echo(json.dumps([receipt.model_dump(mode="json") for _, receipt in chain], indent=2))
        return 0
    for _, receipt in chain:
        click.echo(f"{receipt.seq:>5}  {receipt.at}  {receipt.phase:<6}  {receipt.outcome or '':<11}  {receipt.host:<16}  {receipt.key}")
    return 0


@receipts.command("show", epilog="Example: controlplane receipts show CAP-20260101-120000__docker.data_root__R1a2b")
@click.argument("key")
@site_option
@output_option()
def show_receipt(key: str, site: str | None, output: str) -> int:  # noqa: ARG001 - one form serves people and programs
    """Show the receipts of one run or step, as they are signed."""
    from controlplane.domain.errors import Fault, InputInvalidError  # noqa: PLC0415 - loaded when the verb runs

    found = [receipt for _, receipt in _store(site).load() if key in (receipt.key, receipt.run)]
    if not found:
        raise InputInvalidError([Fault("KEY", 0, "", f"no receipt of {key!r}; 'controlplane receipts list' shows them")])
    click.echo(json.dumps([receipt.model_dump(mode="json") for receipt in found], indent=2))
    return 0


@receipts.command(
    "verify", epilog="Example: controlplane receipts verify --receipts copy/receipts --allowed-signers allowed_signers --head head.json"
)
@site_option
@click.option("--receipts", "folder", metavar="DIR", help="A folder of receipts instead of a site's; no site is needed.")
@click.option("--allowed-signers", "signers", metavar="FILE", help="The public keys to check them by; only with --receipts.")
@click.option(
    "--head", "heads", multiple=True, metavar="FILE", help="A head or closeout kept elsewhere, which the chain has to hold; can be given again."
)
@output_option()
def verify_receipts(site: str | None, folder: str | None, signers: str | None, heads: tuple[str, ...], output: str) -> int:
    """Check the chain, every signature at its receipt's time, and every head that is known. Offline. Exit 1: it is broken."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.verify_receipts import verify_receipts as verify  # noqa: PLC0415

    if folder is None and signers is not None:
        raise click.UsageError("--allowed-signers goes with --receipts: a site names its own in site.yml")
    if folder is not None and site is not None:
        raise click.UsageError("name a site or --receipts, not both")
    if folder is None:
        found = verify(wiring.receipts(site, anew=True), wiring.anchors(site, heads))
    else:
        _refuse_no_folder(folder)
        found = verify(wiring.kept_receipts(folder, signers), wiring.kept_anchors(heads, signers))
        _refuse_nothing(folder, found)
    if output == "json":
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        _say(found)
    return 1 if found.faults else 0


@receipts.command("head", epilog="Example: controlplane receipts head --out head-2026-01-02.json")
@site_option
@click.option("--out", metavar="FILE", help="Write it signed, to be kept where nobody who writes receipts can change it.")
@output_option()
def show_head(site: str | None, out: str | None, output: str) -> int:
    """Say how long the chain is and what its last receipt is: with it, a cut-off end is seen later."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.verify_receipts import head_of  # noqa: PLC0415

    head = head_of(_store(site), operator=wiring.operator(), clock=wiring.clock())
    if out is not None:
        wiring.head_files(site).write(out, head)
    if output == "json":
        click.echo(head.model_dump_json(indent=2))
        return 0
    click.echo(f"{head.site}: {head.length} receipts at {head.at}, the last one {head.head}")
    if out is not None:
        click.echo(f"Keep {out} and {out}.sig elsewhere. Later: controlplane receipts verify --head {out}")
    return 0


@receipts.command("reset-time", epilog='Example: controlplane receipts reset-time --reason "desk2 ran 400 days ahead until its battery was changed"')
@site_option
@click.option("--reason", required=True, metavar="TEXT", help="Which clock ran ahead, and why; it is put on record.")
@output_option()
def reset_site_time(site: str | None, reason: str, output: str) -> int:
    """Let the site's time be this controller's, where another clock ran ahead. Approvals given before end, and so do leases of that clock.

    Exit 4: no later time was seen, or your key is not allowed at it. Nothing was changed then.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.reset_time import reset_time  # noqa: PLC0415

    again = "The site's time was reset in part or not at all. Next: run the same command again"
    with wiring.coordination(site) as store, leaving(again):
        key = reset_time(
            wiring.site(site).read_site().name,
            operator=wiring.operator(),
            reason=reason,
            receipts=_store(site),
            store=store,
            clock=wiring.clock(),
            entropy=wiring.entropy(),
        )
    if output == "json":
        click.echo(json.dumps({"receipt": key}, indent=2))
    else:
        click.echo(f"The site's time is this controller's. On record: {key}. Plans that were approved before have to be approved again.")
    return 0


def _say(found: Verified) -> None:
    for fault in found.faults:
        click.echo(f"{fault.file}: {fault.reason}", err=True)
    click.echo(f"{found.receipts} receipts, {len(found.faults)} faults")
    if not found.signatures:
        click.echo("Signatures were not checked: there are no allowed signers to check them by.")
    for number in found.time_resets:
        click.echo(f"At receipt {number} the site's time was reset: times before it are of a clock that ran ahead.")
    if not found.receipts and not found.anchors:
        click.echo("Whether there were any before would show by a head only: none of this chain is known.")
    elif found.receipts > found.anchored:
        known = f"the newest head that is known holds {found.anchored} of {found.receipts}" if found.anchors else "no head of this chain is known"
        click.echo(f"A cut-off end would show up to there only: {known}. Keep one elsewhere: controlplane receipts head --out FILE")


def _refuse_no_folder(folder: str) -> None:
    from pathlib import Path  # noqa: PLC0415 - loaded when the verb runs

    from controlplane.domain.errors import Fault, InputInvalidError  # noqa: PLC0415

    if not Path(folder).is_dir():
        raise InputInvalidError([Fault(folder, 0, "--receipts", "is no folder: name the one that holds the receipts")])


def _refuse_nothing(folder: str, found: Verified) -> None:
    from controlplane.domain.errors import Fault, InputInvalidError  # noqa: PLC0415 - loaded when the verb runs

    # Nobody asks for a verdict on nothing: it is another folder, or one that was emptied.
    if not found.receipts and not found.faults:
        raise InputInvalidError([Fault(folder, 0, "--receipts", "holds no receipt: name the folder that holds them, or find out who emptied it")])


def _store(site: str | None) -> ReceiptStore:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs

    return wiring.receipts(site)
