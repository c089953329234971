"""Options that verbs share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from datetime import timedelta

Command = TypeVar("Command", bound=Callable[..., Any])


def site_option(command: Command) -> Command:
    """Add `--site`, passed as `site`."""
    return click.option("--site", metavar="DIR", help="Site folder; otherwise $CONTROLPLANE_SITE, or the only one under inventory/ here.")(command)


def output_option(*more: str) -> Callable[[Command], Command]:
    """Return the decorator that adds `-o`, passed as `output`: text, json and `more`."""
    return click.option(
        "-o", "--output", type=click.Choice(["text", "json", *more]), default="text", show_default=True, help="How the result is printed."
    )


def hosts_option(command: Command) -> Command:
    """Add `--host`, given any number of times, passed as the tuple `hosts`."""
    return click.option("--host", "hosts", multiple=True, metavar="HOST", help="Only this host; can be given several times.")(command)


def host_option(command: Command) -> Command:
    """Add a required `--host`, passed as `host`."""
    return click.option("--host", required=True, metavar="HOST", help="Host, by its name in the inventory.")(command)


def inventory_option(command: Command) -> Command:
    """Add `--inventory`, passed as `run_inventory`, for verbs that make no connection."""
    return click.option("--inventory", "run_inventory", is_flag=True, help="Also run an inventory's scripts and plugins.")(command)


def print_json(data: Any) -> None:
    """Print `data` as JSON on standard output, keys in the order that they were made in."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def age(text: str | None) -> timedelta | None:
    """Return the age that `--max-age` names, None where it is not given."""
    from datetime import timedelta  # noqa: PLC0415 - loaded when the verb runs

    from controlplane.domain.durations import parse_duration  # noqa: PLC0415

    if text is None:
        return None
    try:
        return timedelta(seconds=parse_duration(text))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--max-age") from None
