"""wave: governed waves of changes, from open to closeout receipt."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from controlplane.cli.options import output_option, print_json, site_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.domain.waves.record import GateJudged
    from controlplane.usecases.wave_ports import WavePorts, WaveSite

_name = click.argument("name", metavar="WAVE")


@click.group(epilog="Example: controlplane wave brief W8B")
def wave() -> None:
    """Lead a wave from its entry gates to its closeout receipt."""


@wave.command("list", epilog="Example: controlplane wave list")
@site_option
@output_option()
def list_waves(site: str | None, output: str) -> int:
    """List the site's waves with where each stands and what is next."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.folding import echo_folded  # noqa: PLC0415
    from controlplane.usecases.show_waves import wave_rows  # noqa: PLC0415

    with _governed(site) as (found, ports):
        rows = wave_rows(found, ports)
    if output == "json":
        print_json({"waves": rows})
        return 0
    for row in rows:
        click.echo(_fitting(f"{row['wave']:<8} {row['state']:<11} {row['mutation']:<11} {row['goal']}"))
        if row["doubt"]:
            echo_folded(f"{'doubt':<8} ", plain(row["doubt"]))
    going_on = next((row for row in rows if row["next"] and row["state"] not in ("not opened", "aborted")), None)
    due = going_on or next((row for row in rows if row["next"]), None)
    if due is not None:
        click.echo(f"Next: {due['next']}")
    return 0


@wave.command(epilog="Example: controlplane wave show W8B")
@_name
@site_option
@output_option()
def show(name: str, site: str | None, output: str) -> int:  # noqa: ARG001 - one form serves people and programs
    """Show a wave's file as it was read, every default written out."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.domain.errors import Fault, InputInvalidError  # noqa: PLC0415

    waves = wiring.governance(site)[0].checked_waves()
    if name not in waves:
        raise InputInvalidError([Fault("WAVE", 0, "", f"there is no {name}; there are {', '.join(waves) or 'none'}")])
    print_json({"wave": name, **waves[name].model_dump(mode="json")})
    return 0


@wave.command(epilog="Example: controlplane wave brief W8B")
@_name
@site_option
@output_option()
def brief(name: str, site: str | None, output: str) -> int:
    """Print the runbook of a wave for the person who does it."""
    from controlplane.usecases.show_waves import brief as brief_of  # noqa: PLC0415 - loaded when the verb runs

    with _governed(site) as (found, ports):
        lines = brief_of(name, found, ports)
    if output == "json":
        print_json({"wave": name, "brief": lines})
    else:
        click.echo("\n".join(lines))
    return 0


@wave.command(epilog="Example: controlplane wave preflight W8B")
@_name
@site_option
@output_option()
def preflight(name: str, site: str | None, output: str) -> int:
    """Say on fresh evidence how every entry gate stands. Exit 4: one is shut. 5: one is UNKNOWN."""
    from controlplane.cli.progress import working  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.open_wave import preflight as look  # noqa: PLC0415

    with _governed(site) as (found, ports), leaving(_shown(name)), working("looking at the wave's hosts"):
        judged = look(name, found, ports)
    if output == "json":
        print_json({"wave": name, "gates": [one.model_dump(mode="json") for one in judged]})
    else:
        show_gates(judged)
    unknown = any(one.verdict == "UNKNOWN" for one in judged)
    return 5 if unknown else 4 if any(one.verdict != "MET" for one in judged) else 0


@wave.command("open", epilog="Example: controlplane wave open W8B")
@_name
@site_option
@output_option()
def open_verb(name: str, site: str | None, output: str) -> int:
    """Open a wave: entry gates on fresh evidence, and the wave held for this operator. Exit 4 or 5: a gate is shut or UNKNOWN."""
    from controlplane.cli.progress import working  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.open_wave import open_wave  # noqa: PLC0415
    from controlplane.usecases.show_waves import wave_status  # noqa: PLC0415

    with _governed(site) as (found, ports), leaving(_shown(name)):
        with working("looking at the wave's hosts"):
            held, record = open_wave(name, found, ports)
        after = wave_status(name, found, ports)["next"]
    if output == "json":
        print_json({"wave": name, "state": held.state, "holder": held.holder, "token": held.token, "record": record.plain()})
    else:
        show_gates(record.entry)
        click.echo(f"{name} is open, held by {held.holder} until {held.expires_at}.")
        click.echo(f"Next: {after}")
    return 0


@wave.command(epilog="Example: controlplane wave plan W8B")
@_name
@click.option("--capability", "capabilities", multiple=True, metavar="ID", help="Only this capability of the wave; needed for those that delete.")
@click.option("--out", metavar="FILE", help="Also write the plan to this file.")
@site_option
@output_option()
def plan(name: str, capabilities: tuple[str, ...], out: str | None, site: str | None, output: str) -> int:
    """Preview the wave's change set, within its scope; changes nothing. Exit 3: changes to make. 4: refused. 5: a host could not be observed."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.plan import exit_code_of  # noqa: PLC0415
    from controlplane.cli.preview import show_plan  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.plan_wave import plan_wave  # noqa: PLC0415

    if out is not None:
        wiring.plan_files().refuse_unless_writable(out)
    with _governed(site) as (found, ports), leaving(_shown(name)), working("collecting evidence"):
        made, _ = plan_wave(name, found, ports, capabilities=capabilities)
    if out is not None:
        wiring.plan_files().write(out, made)
    if output == "json":
        print_json(made.model_dump(mode="json"))
    else:
        show_plan(made, name, then="controlplane wave approve")
    return exit_code_of(made)


@wave.command(epilog="Example: controlplane wave approve W8B")
@_name
@site_option
@output_option()
def approve(name: str, site: str | None, output: str) -> int:
    """Sign the wave's last plan, for its hosts and the window that is open or comes next; it serves one run."""
    from controlplane.cli.stopping import leaving  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.plan_wave import approve_wave  # noqa: PLC0415

    with _governed(site) as (found, ports), leaving("The approval is there or it is not, nothing else was changed; run the same command again."):
        made, planned = approve_wave(name, found, ports)
    if output == "json":
        click.echo(made.model_dump_json(indent=2))
        return 0
    window = f"from {planned.opens} to {planned.closes}" if planned.closes else "at any time"
    click.echo(f"Approved {made.plan} for {', '.join(made.hosts)} {window} by {made.approver}, until {made.expires_at}.")
    click.echo(f"Destructive actions in it: {', '.join(planned.destructive) or 'none'}.")
    click.echo(f"Next: controlplane wave run {name}")
    return 0


@wave.command(epilog="Example: controlplane wave run W8B")
@_name
@site_option
@output_option()
def run(name: str, site: str | None, output: str) -> int:
    """Carry out the wave's approved plan, or go on with it; the pack is judged after each step.

    Exit 1: a step failed. 4 or 5: a gate is shut or UNKNOWN, nothing was changed. 130: stopped (also by the window's end), to be gone on with.
    """
    from controlplane.cli.apply import print_result  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.domain.errors import ControlPlaneError  # noqa: PLC0415
    from controlplane.usecases.run_wave import run_wave  # noqa: PLC0415
    from controlplane.usecases.show_waves import wave_status  # noqa: PLC0415

    with _governed(site) as (found, ports), leaving(_shown(name)):
        with working(f"running {name}") as progress:
            result = run_wave(name, found, ports, progress=progress)
        print_result(result, output)
        after = f"controlplane wave status {name}"
        # A store that went away meanwhile is told by the result above, and turns it into nothing else.
        with suppress(ControlPlaneError):
            stands = wave_status(name, found, ports)
            after = stands["next"] if stands["holder"] == found.operator else after
        click.echo(f"Next: {after}", err=True)
    return result.exit_code()


@wave.command(epilog="Example: controlplane wave resume W8B")
@_name
@site_option
@output_option()
def resume(name: str, site: str | None, output: str) -> int:
    """Take over a wave whose holder is gone, from what is on record; or keep one's own. What ran is gone on with by 'wave run'."""
    from controlplane.cli.stopping import leaving  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.run_wave import resume_wave  # noqa: PLC0415
    from controlplane.usecases.show_waves import wave_status  # noqa: PLC0415

    with _governed(site) as (found, ports), leaving(_shown(name)):
        held = resume_wave(name, found, ports)
        after = wave_status(name, found, ports)["next"]
    if output == "json":
        print_json({"wave": name, "state": held.state, "holder": held.holder, "token": held.token, "lease_until": held.expires_at})
    else:
        click.echo(f"{name} is {held.state}, held by {held.holder} until {held.expires_at}.")
        click.echo(f"Next: {after}")
    return 0


@wave.command(epilog='Example: controlplane wave close W8B --attest "data of mint-data lies on its data disk" --deferred "log budget of mint-apps"')
@_name
@click.option("--attest", required=True, metavar="TEXT", help="What you attest; it stands in the closeout receipt under your name.")
@click.option("--deferred", multiple=True, metavar="TEXT", help="What is left for later; can be given several times.")
@site_option
@output_option()
def close(name: str, attest: str, deferred: tuple[str, ...], site: str | None, output: str) -> int:
    """Look once more by two witnesses, ask the exit gates, and leave the closeout receipt. Exit 4 or 5: a gate is shut or UNKNOWN; it stays open."""
    from controlplane.cli.progress import working  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.close_wave import close_wave  # noqa: PLC0415

    with _governed(site) as (found, ports), leaving(_shown(name)), working("judging by two witnesses"):
        made, page, key = close_wave(name, found, ports, attest=attest, deferred=deferred)
    if output == "json":
        print_json({"receipt": key, "page": page, **made.model_dump(mode="json")})
        return 0
    show_gates([one for one in made.gates if one.phase == "exit"])
    for gap in made.gaps:
        if gap.recommended:
            click.echo(f"recommended for closing: {gap.gap}    (controlplane gaps close {gap.gap})")
    count = made.verify
    click.echo(f"{name} is {made.outcome}: {count.met} met, {count.drifted} drifted, {count.waived} waived, {count.unknown} unknown.")
    click.echo(f"receipt   {key}")
    click.echo(f"page      {found.view.folder}/{page}")
    return 0


@wave.command(epilog='Example: controlplane wave abort W8B --reason "disk of mint-data is being replaced"')
@_name
@click.option("--reason", required=True, metavar="TEXT", help="Why it ends without its gates.")
@site_option
@output_option()
def abort(name: str, reason: str, site: str | None, output: str) -> int:
    """End a wave without its gates. What is half done keeps its open receipts, which block the next wave on that host."""
    from controlplane.cli.stopping import leaving  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.open_wave import abort_wave  # noqa: PLC0415

    with _governed(site) as (found, ports), leaving(_shown(name)):
        key = abort_wave(name, found, ports, reason=reason)
    if output == "json":
        print_json({"wave": name, "state": "aborted", "receipt": key})
    else:
        click.echo(f"{name} is aborted.")
        click.echo(f"receipt   {key}")
    return 0


@wave.command(epilog="Example: controlplane wave status W8B --watch")
@_name
@click.option("--watch", is_flag=True, help="On a terminal: show it until Ctrl-C, as it goes on; with -o json once.")
@site_option
@output_option()
def status(name: str, watch: bool, site: str | None, output: str) -> int:
    """Show where a wave stands: gates, plans, packs, carved hosts, and what is next; makes no connection."""
    from controlplane.cli.wave_status import show_status, watch_status  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.usecases.show_waves import wave_status  # noqa: PLC0415

    with _governed(site) as (found, ports):
        # What is watched is for people: a program gets one document.
        if watch and output == "text":
            return watch_status(lambda: wave_status(name, found, ports))
        told = wave_status(name, found, ports)
    if output == "json":
        print_json(told)
    else:
        show_status(told)
    return 0


def _fitting(line: str) -> str:
    """Return a line that fits the terminal; without one it stays whole."""
    import shutil  # noqa: PLC0415 - loaded when the verb runs
    import sys  # noqa: PLC0415

    width = shutil.get_terminal_size().columns
    return line if not sys.stdout.isatty() or len(line) <= width else f"{line[: width - 1]}…"


def show_gates(judged: list[GateJudged] | tuple[GateJudged, ...]) -> None:
    """Print how gates stand, one a line."""
    from controlplane.cli.findings import plain  # noqa: PLC0415 - loaded when the verb runs

    colours = {"MET": "green", "DRIFTED": "red", "UNKNOWN": "magenta"}
    for one in judged:
        shown = click.style(f"{'open' if one.verdict == 'MET' else 'shut' if one.verdict == 'DRIFTED' else 'unknown':<8}", fg=colours[one.verdict])
        click.echo(f"{shown} {one.phase:<6} {plain(one.what)}{'' if one.verdict == 'MET' else f': {plain(one.reason)}'}")


def _shown(name: str) -> str:
    """Return what an interrupted verb says: where it shows what it came to."""
    return f"What was begun is on record. Next: controlplane wave status {name}    (says where it stands and which command goes on)"


@contextmanager
def _governed(given: str | None) -> Iterator[tuple[WaveSite, WavePorts]]:
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs

    with wiring.wave_site(given) as governed:
        yield governed
