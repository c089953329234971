"""How a wave stands, as lines and as a view that goes on by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

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

    with Live(console=Console(), auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            told = ask()
            live.update(Text("\n".join([*status_lines(told), "", "Ctrl-C ends this view; nothing else."])), refresh=True)
            if told["ended_at"] is not None:
                break
            time.sleep(_EVERY_S)
    return 0


def status_lines(told: dict[str, Any]) -> list[str]:
    """Return the lines of a wave's status; names and reasons are data, and hold nothing that a terminal obeys."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    record = told["record"] or {}
    held = f", held by {told['holder']} until {told['lease_until']}" if told["holder"] else ""
    lines = [f"{told['wave']}  {told['state']}{held}", f"goal      {told['goal']}"]
    lines += [f"doubt     {told['doubt']}"] if told["doubt"] else []
    lines += [f"changes   {', '.join(told['hosts']) or 'nothing'}", f"looks at  {', '.join(told['read_only']) or 'no other host'}"]
    for gate in record.get("entry", []):
        lines.append(f"gate      {_STANDS[gate['verdict']]:<11} {gate['what']}")
    for plan in record.get("plans", []):
        state = plan["outcome"] or ("begun" if plan["run"] else "approved" if plan["approved"] else "planned")
        lines.append(
            f"plan      {plan['plan'][7:19]} {state:<11} {plan['steps']} steps on {', '.join(plan['hosts'])}: {', '.join(plan['capabilities'])}"
        )
    for pack in record.get("packs", []):
        lines.append(f"pack      {'passed' if pack['passed'] else 'NOT PASSED':<11} {pack['run']} after {pack['after']}: {pack['reason'][:200]}")
    lines += [f"carved    {one['host']}: {one['reason'][:200]}" for one in record.get("carved", [])]
    if told["next"]:
        lines.append(f"Next: {told['next']}")
    return [plain(line) for line in lines]
