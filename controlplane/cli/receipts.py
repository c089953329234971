"""receipts: the evidence trail."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import output_option, site_option

if TYPE_CHECKING:
    from controlplane.ports import ReceiptStore


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


@receipts.command("verify", epilog="Example: controlplane receipts verify")
@site_option
@output_option()
def verify_receipts(site: str | None, output: str) -> int:
    """Check the chain and every signature. Exit 1: it is broken."""
    from controlplane.domain.receipt import chain_faults  # noqa: PLC0415 - loaded when the verb runs

    store = _store(site)
    chain = store.load()
    faults = (*chain_faults(chain), *store.signature_faults())
    if output == "json":
        click.echo(json.dumps({"receipts": len(chain), "faults": [fault.model_dump() for fault in faults]}, indent=2))
    else:
        for fault in faults:
            click.echo(f"{fault.file}: {fault.reason}", err=True)
        click.echo(f"{len(chain)} receipts, {len(faults)} faults")
    return 1 if faults else 0


def _store(site: str | None) -> ReceiptStore:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs

    return wiring.receipts(site)
