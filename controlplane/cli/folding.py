"""Print lines whose last part is text: folded beside what leads it on a terminal, each on one line elsewhere, for other programs."""

from __future__ import annotations

import shutil
import sys
import textwrap

import click

# Less room than that beside its lead, and the text stands below it.
_NARROW = 24
_INDENT = 4


def echo_folded(lead: str, text: str, *, err: bool = False) -> None:
    """Print `lead` and `text`, on standard error with `err`."""
    if not (sys.stderr if err else sys.stdout).isatty():
        click.echo(lead + text, err=err)
        return
    width = shutil.get_terminal_size((100, 24)).columns
    beside = width - len(lead) >= _NARROW
    indent = len(lead) if beside else _INDENT
    lines = textwrap.wrap(text, max(width - indent, _NARROW), break_on_hyphens=False) or [""]
    if not beside:
        click.echo(lead.rstrip(), err=err)
    for number, line in enumerate(lines):
        click.echo((lead if beside and number == 0 else " " * indent) + line, err=err)
