"""A group of verbs that are imported only when they are asked for: `--help` costs little more than click itself."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

# verb -> (module, attribute, what the group's `--help` says of it)
Verbs = Mapping[str, tuple[str, str, str]]


class VerbGroup(click.Group):
    """A group that knows its verbs by name and loads the one that runs."""

    def __init__(self, *args: Any, verbs: Verbs, **more: Any) -> None:
        super().__init__(*args, **more)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in self._verbs:
            return None
        module, attribute, _ = self._verbs[cmd_name]
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the verbs from the table, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, short) for verb, (_, _, short) in self._verbs.items()])
