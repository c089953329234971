"""What holds for every verb: a choice of output, help with an example, and a line in the verb table."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from controlplane.cli.app import VERBS, root


def verbs(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield every verb that does something, with its full name."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from verbs(below, (*path, name))


ALL = dict(verbs(root))


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_verb_prints_text_or_json(name: str) -> None:
    option = next(one for one in ALL[name].params if "-o" in one.opts)
    assert isinstance(option.type, click.Choice)
    assert {"text", "json"} <= set(option.type.choices)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_verb_has_help_with_an_example(name: str) -> None:
    assert (ALL[name].help or "").strip()
    epilog = ALL[name].epilog or ""
    assert epilog.startswith("Example: ")
    assert f"controlplane {name}" in epilog


def test_the_verb_table_names_what_there_is() -> None:
    assert {name.split()[0] for name in ALL} == set(VERBS)
