"""How a wave stands, as lines and as a view that goes on by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from controlplane.domain.amounts import counted

_EVERY_S = 2.0
_STANDS = {"MET": "open", "DRIFTED": "shut", "UNKNOWN": "unknown"}


def show_status(told: dict[str, Any]) -> None:
    """Print where a wave stands."""
    click.echo("\n".join(status_lines(told)))


def watch_status(ask: Callable[[], dict[str, Any]]) -> int:
    """Show it until Ctrl-C, or until the wave has ended; without a terminal once."""
    if not sys.stdout.isatty():
        show_status(ask())
        return 0
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()

    def rows(line: str) -> int:
        return max(1, len(Text(line).wrap(console, console.width)))

    with Live(console=console, auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            told = ask()
            shown = fitted(_head(told), [*_body(told), "", "Ctrl-C ends this view; nothing else."], rows=rows, height=console.height)
            live.update(Text("\n".join(shown)), refresh=True)
            if told["ended_at"] is not None:
                break
            time.sleep(_EVERY_S)
    return 0


def fitted(head: list[str], body: list[str], *, rows: Callable[[str], int], height: int) -> list[str]:
    """Return the lines that go into `height` rows: the head, and of the body the last ones, which are the newest and what to type next.

    `rows` says how many rows a line takes. Where the last three lines of the body don't go in beside the head, of the head the first line stays.
    """
    taken = list(map(rows, body))
    for kept, most in ((head, max(0, len(body) - 3)), (head[:1], len(body) - 1)):
        room = height - sum(map(rows, kept))
        for left_out in range(most + 1):
            if sum(taken[left_out:]) + bool(left_out) <= room:
                told = [f"          ({counted(left_out, 'line')} left out for want of room)"] if left_out else []
                return [*kept, *told, *body[left_out:]]
    return [head[0], body[-1]]


def status_lines(told: dict[str, Any]) -> list[str]:
    """Return the lines of a wave's status; names and reasons are data, and hold nothing that a terminal obeys."""
    return [*_head(told), *_body(told)]


def _head(told: dict[str, Any]) -> list[str]:
    """Return what the wave is."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    held = f", held by {told['holder']} until {told['lease_until']}" if told["holder"] else ""
    lines = [f"{told['wave']}  {told['state']}{held}", f"goal      {told['goal']}"]
    lines += [f"doubt     {told['doubt']}"] if told["doubt"] else []
    lines += [f"changes   {', '.join(told['hosts']) or 'nothing'}", f"looks at  {', '.join(told['read_only']) or 'no other host'}"]
    return [plain(line) for line in lines]


def _body(told: dict[str, Any]) -> list[str]:
    """Return what came of it, the newest last, and what to type next."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    record = told["record"] or {}
    lines = [f"gate      {_STANDS[gate['verdict']]:<11} {gate['what']}" for gate in record.get("entry", [])]
    for plan in record.get("plans", []):
        state = plan["outcome"] or ("begun" if plan["run"] else "approved" if plan["approved"] else "planned")
        lines.append(
            f"plan      {plan['plan'][7:19]} {state:<11} {plan['steps']} steps on {', '.join(plan['hosts'])}: {', '.join(plan['capabilities'])}"
        )
    lines += [
        f"pack      {'passed' if pack['passed'] else 'NOT PASSED':<11} {pack['run']} after {pack['after']}: {pack['reason'][:200]}"
        for pack in record.get("packs", [])
    ]
    lines += [f"carved    {one['host']}: {one['reason'][:200]}" for one in record.get("carved", [])]
    if told["next"]:
        lines.append(f"Next: {told['next']}")
    return [plain(line) for line in lines]
