"""Print a plan for people: what each step changes, what it destroys, what it costs, and how it is undone.

Texts come from policies and machines, so control characters in them never reach a terminal. A file's texts go below its name, as a diff,
and lines are wrapped to the terminal's width; elsewhere a line stays whole, so that it can be searched.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

from controlplane.cli.findings import plain
from controlplane.domain.amounts import counted

if TYPE_CHECKING:
    from controlplane.domain.plan import Change, Plan, Step

_LABEL = 10
_WIDEST = 120


def way_on(then: str, file: str, approval: str) -> str:
    """Return the command `then` with a plan's file, behind its approval where one is demanded (`none`, `self` or `other`)."""
    who = "another person: " if approval == "other" else ""
    return f"{then} {file}" if approval == "none" else f"{who}controlplane approve {file}, then: {then} {file}"


def show_plan(made: Plan, out: str | None, *, then: str = "controlplane apply", approval: str = "none", nothing: str = "Nothing to do.") -> None:
    """Print the preview on standard output; `then` is the command that takes the file `out` and goes on, `approval` what it demands before.

    `nothing` is what is said of a plan that has neither a step nor a refusal.
    """
    for step in made.steps:
        _show_step(step)
    for bound in made.bounds:
        unit = "inodes" if bound.measure == "free_inodes" else "bytes"
        _row("bound", f"{bound.host}: {bound.what}: at least {bound.at_least:,} {unit} needed at apply")
    for refusal in made.refusals:
        _row("refused", f"{refusal.host} {refusal.capability}: {refusal.reason}")
    if made.bounds or made.refusals:
        click.echo("")
    _close(made, out, then, approval, nothing)


def _close(made: Plan, out: str | None, then: str, approval: str, nothing: str) -> None:
    destroyed = [f"{change.target} on {step.host}" for step in made.steps for change in step.changes if change.destructive]
    count = sum(len(step.changes) for step in made.steps)
    told = f"{counted(len(made.steps), 'step')}, {counted(count, 'change')} on {counted(len(made.hosts), 'host')}"
    click.echo(f"{told}, {len(made.refusals)} refused.")
    _row("destroys", ", ".join(destroyed) or "nothing")
    stops = [(step.host, name, step.downtime.estimate_s) for step in made.steps for name in step.downtime.services]
    for host, name in sorted({(host, name) for host, name, _ in stops}):
        own = [seconds for at, of, seconds in stops if (at, of) == (host, name)]
        # Each by itself stands with its step.
        if len(own) > 1:
            _row("downtime", f"{host}: {name} stops {len(own)} times, {_in_all(own)}")
    _row("plan", made.plan)
    if made.steps and out is not None:
        _row("next", f"{way_on(then, out, approval)}    (nothing was changed so far)")
    elif made.steps:
        _row("next", f"run this again with --out FILE, then {way_on(then, 'FILE', approval)}    (nothing was changed so far)")
    elif not made.refusals:
        click.echo(nothing)


def _in_all(own: list[int | None]) -> str:
    known = [seconds for seconds in own if seconds is not None]
    if len(known) == len(own):
        return f"at most {sum(known)} s in all"
    return f"for how long in all is not known; without what was not measured ({counted(len(own) - len(known), 'step')}) at most {sum(known)} s"


def _show_step(step: Step) -> None:
    click.secho(f"{step.id}  {step.capability}", bold=True)
    _row("  mends", ", ".join(f"{mend.check} {mend.surface}" for mend in step.mends) or "nothing that a check names")
    for change in step.changes:
        _show_change(change)
    services = ", ".join(step.downtime.services)
    _row("  downtime", _how_long(step.downtime.estimate_s, services) if services else "none")
    _row("  undo", step.undo)
    click.echo("")


def _how_long(seconds: int | None, services: str) -> str:
    if seconds is None:
        return f"not known for {services}: how much moves was not measured in time; the room for it is, before anything stops"
    return f"at most {seconds} s for {services}"


def _show_change(change: Change) -> None:
    mark = " (destructive)" if change.destructive else ""
    before, after = change.before or "", change.after or ""
    short = f"{change.target}{mark}: {change.before or 'nothing'} -> {change.after or 'nothing'}"
    if "\n" not in before + after and change.kind != "file":
        _row(f"  {change.kind}", short, colour="red" if change.destructive else None)
        return
    _row(f"  {change.kind}", f"{change.target}{mark}", colour="red" if change.destructive else None)
    for sign, text, colour in (("-", before, "red"), ("+", after, "green")):
        for line in text.splitlines():
            _wrapped(f"      {sign} ", line, colour)


def _row(label: str, text: str, colour: str | None = None) -> None:
    _wrapped(f"{label:<{_LABEL + 2 if label.startswith(' ') else _LABEL}} ", text, colour)


def _wrapped(lead: str, text: str, colour: str | None = None) -> None:
    lines = [plain(text)]
    if sys.stdout.isatty():
        room = max(_width() - len(lead), 20)
        # A path or a digest longer than the line is left whole: cut in two it can't be copied.
        lines = textwrap.wrap(lines[0], room, break_long_words=False, break_on_hyphens=False, drop_whitespace=True) or [""]
    for number, line in enumerate(lines):
        click.secho(f"{lead if number == 0 else ' ' * len(lead)}{line}", fg=colour)


def _width() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, _WIDEST) if sys.stdout.isatty() else _WIDEST
