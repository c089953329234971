"""`controlplane lab`: machines with real disks, in seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.adapters.lab.lab import Lab, MachineStatus

HALF_MADE = "The lab may be half made: the same command goes on, 'controlplane lab down' gives it back."
NAMES = click.argument("names", nargs=-1, metavar="[NAME]...")
HOST = click.argument("host")


def _output(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print the result.")(
        command
    )


def _new_machines(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that decide what a new machine is."""
    options = [
        click.option(
            "--engine",
            type=click.Choice(["26", "20.10", "none"]),
            default="26",
            show_default=True,
            help="Docker's version; 'none' leaves its packages in an apt source of the machine's own.",
        ),
        click.option(
            "--os",
            "system",
            type=click.Choice(["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"]),
            default="debian-12",
            show_default=True,
            help="What runs on it; others than Debian 12 come without Docker.",
        ),
        click.option(
            "--image-store",
            type=click.Choice(["graph", "containerd"]),
            default="graph",
            show_default=True,
            help="Where Docker 26 keeps images; 'containerd' as Docker 29 does.",
        ),
        click.option("--boot-gib", type=click.IntRange(3, 512), default=8, show_default=True, help="Boot disk (sparse file)."),
        click.option("--data-gib", type=click.IntRange(1, 512), default=4, show_default=True, help="Data disk (sparse file)."),
        click.option("--without-data-disk", is_flag=True, help="Start with the boot disk alone."),
        click.option("--foreign-data-disk", is_flag=True, help="Start with a disk that holds somebody else's filesystem."),
        click.option("--with-data-disk", is_flag=True, help="Start with the machine's own data disk."),
        click.option("--vm", is_flag=True, help="Make virtual machines with a kernel of their own, emulated in software."),
        click.option(
            "--boot-layout",
            type=click.Choice(["whole", "partition", "lvm"]),
            default="whole",
            show_default=True,
            help="A virtual machine's root: on the whole boot disk, in a partition, or on LVM in one.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _options(chosen: dict[str, Any]) -> dict[str, Any]:
    from controlplane.domain.errors import Fault, InputInvalidError  # noqa: PLC0415 - a verb that isn't called costs nothing

    def refuse(field: str, message: str) -> InputInvalidError:
        return InputInvalidError([Fault(file="command line", line=0, field=field, message=message)])

    disks = {"own": chosen["with_data_disk"], "none": chosen["without_data_disk"], "foreign": chosen["foreign_data_disk"]}
    picked = [disk for disk, given in disks.items() if given]
    if len(picked) > 1:
        raise refuse("--…-data-disk", "choose one of --with-, --without- and --foreign-data-disk. Nothing was changed.")
    if chosen["image_store"] == "containerd" and chosen["engine"] != "26":
        raise refuse("--image-store", "'containerd' needs --engine 26. Nothing was changed.")
    if chosen["system"] != "debian-12" and (chosen["engine"] != "none" or chosen["vm"]):
        raise refuse("--os", f"'{chosen['system']}' needs --engine none, without --vm. Nothing was changed.")
    if chosen["boot_layout"] != "whole" and not chosen["vm"]:
        raise refuse("--boot-layout", f"'{chosen['boot_layout']}' needs --vm. Nothing was changed.")
    return {
        "vm": chosen["vm"],
        "boot_layout": chosen["boot_layout"],
        "engine": chosen["engine"],
        "system": chosen["system"],
        "image_store": chosen["image_store"],
        "data_disk": picked[0] if picked else None,
        "boot_bytes": chosen["boot_gib"] * 2**30,
        "data_bytes": chosen["data_gib"] * 2**30,
    }


@contextmanager
def _lab(state: str | None = None) -> Iterator[Lab]:
    """Yield the lab, telling its progress: a spinner on a terminal, plain lines elsewhere, always on standard error.

    `state` is what the last line says after an interruption, None for verbs that change nothing.
    """
    from controlplane.cli.stopping import leaving  # noqa: PLC0415 - a verb that isn't called costs nothing

    with nullcontext() if state is None else leaving(state), _telling() as opened:
        yield opened


@contextmanager
def _telling() -> Iterator[Lab]:
    from controlplane.wiring import lab  # noqa: PLC0415 - a verb that isn't called costs nothing

    opened = lab()
    opened.warn = lambda message: click.echo(message, err=True)
    if not sys.stderr.isatty():
        opened.say = lambda message: click.echo(f"lab: {message}", err=True)
        yield opened
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it

    with Console(stderr=True).status("lab") as spinner:
        opened.say = lambda message: spinner.update(f"lab: {message}")
        yield opened


def _show(machines: Sequence[MachineStatus], output: str) -> None:
    if output == "json":
        click.echo(json.dumps({"machines": [machine.model_dump() for machine in machines]}, indent=1))
        return
    if not machines:
        click.echo("There is no lab machine. Start the two of the example site with 'controlplane lab up'.")
    for machine in machines:
        disk = f"data disk {machine.data_device or '(not attached)'}" if machine.data_file else "no data disk"
        word = f"{machine.state} ({machine.system})" if machine.system not in {"", "running"} else machine.state
        click.echo(f"{machine.name:<20} {word:<20} Docker {machine.engine or '-':<6} boot {machine.boot_device or '-':<11} {disk}")


@click.group(epilog="Example: controlplane lab up && controlplane lab ssh mint-data")
def lab() -> None:
    """Machines with real disks, in seconds."""


@lab.command(epilog="Example: controlplane lab up mint-data --without-data-disk")
@NAMES
@_new_machines
@_output
def up(names: tuple[str, ...], output: str, **chosen: Any) -> None:
    """Start machines, made from the golden image where they are new (mint-data and mint-apps without names)."""
    options = _options(chosen)
    with _lab(HALF_MADE) as opened:
        machines = opened.up(names, **options)
    _show(machines, output)


@lab.command(epilog="Example: controlplane lab down mint-data")
@NAMES
@click.option("--destroy", is_flag=True, help="Delete the machines' disks as well.")
@_output
def down(names: tuple[str, ...], destroy: bool, output: str) -> None:
    """Power machines off and give back all that they held on this host (without names: all but those of a running test)."""
    with _lab("Some machines may still run: the same command goes on.") as opened:
        ended = opened.down(names, destroy=destroy)
    if output == "json":
        click.echo(json.dumps({"down": ended}))
    else:
        click.echo(f"Down: {', '.join(ended)}." if ended else "There was no lab machine.")


@lab.command(epilog="Example: controlplane lab reset mint-data")
@NAMES
@_new_machines
@_output
def reset(names: tuple[str, ...], output: str, **chosen: Any) -> None:
    """Make machines anew from the golden image, with blank data disks, and start them (mint-data and mint-apps without names)."""
    options = _options(chosen)
    with _lab(HALF_MADE) as opened:
        machines = opened.reset(names, **options)
    _show(machines, output)


@lab.command(epilog="Example: controlplane lab reboot mint-data")
@HOST
@_output
def reboot(host: str, output: str) -> None:
    """Reboot a machine and wait until it is up again."""
    with _lab(f"{host} may still be rebooting. Next: controlplane lab status    (shows when it is up)") as opened:
        machine = opened.reboot(host)
    _show([machine], output)


@lab.command(epilog="Example: controlplane lab cut mint-data && controlplane lab up mint-data")
@HOST
@_output
def cut(host: str, output: str) -> None:
    """Cut a machine's power: what was not synced is gone, and it stays off until 'lab up'."""
    with _lab(f"{host} may still have power or be without it. Next: controlplane lab status") as opened:
        opened.cut(host)
    click.echo(json.dumps({"cut": host}) if output == "json" else f"{host} is without power. Next: controlplane lab up {host}")


@lab.command(epilog="Example: controlplane lab ssh mint-data -- docker ps", context_settings={"ignore_unknown_options": True})
@HOST
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_output
def ssh(host: str, command: tuple[str, ...], output: str) -> None:
    """Log in to a machine as root, or run a command on it; the exit code is the command's.

    One quoted word is a shell script, several words are a program and its arguments; what is the command's stands behind '--'.
    """
    import subprocess  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.cli.stopping import leaving  # noqa: PLC0415 - as above
    from controlplane.wiring import lab  # noqa: PLC0415 - as above

    if output == "json" and not command:
        raise click.UsageError("a login has no JSON: name a command, such as: controlplane lab ssh HOST -o json -- docker ps")
    words = ["sh", "-c", command[0]] if len(command) == 1 else list(command)
    argv = lab().ssh_argv(host, words)
    with leaving(f"What ran on {host} may have done a part of its work. Next: look there, with: controlplane lab ssh {host}"):
        done = subprocess.run(argv, check=False, capture_output=output == "json")
    if output == "json":
        said = {"stdout": done.stdout.decode(errors="replace"), "stderr": done.stderr.decode(errors="replace")}
        click.echo(json.dumps({"host": host, "command": list(command), "exit_code": done.returncode, **said}))
    sys.exit(done.returncode)


@lab.command(epilog="Example: controlplane lab status -o json")
@_output
def status(output: str) -> None:
    """Show the lab's machines, their disks and what a killed run left over."""
    with _lab() as opened:
        machines = opened.status()
    _show(machines, output)


@lab.command(epilog="Example: controlplane lab up && controlplane lab seed")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--stack", type=click.Choice(["mint-data", "mint-apps"]), help="Which stack; the host's own without it.")
@click.option("--redis-aof", is_flag=True, help="Let Redis keep an append-only file.")
@_output
def seed(hosts: tuple[str, ...], stack: str | None, redis_aof: bool, output: str) -> None:
    """Start compose stacks with real data on running machines, and print what must survive any change."""
    with _lab("The stacks may be half started and half filled: the same command goes on.") as opened:
        found = {host: opened.seed(host, stack=stack or "", redis_aof=redis_aof) for host in hosts or ("mint-data", "mint-apps")}
    _show_sentinels(found, output)


@lab.command(epilog="Example: controlplane lab sentinels mint-data -o json > before.json")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@_output
def sentinels(hosts: tuple[str, ...], output: str) -> None:
    """Print checksums over the machines' data, to be compared before and after a change."""
    with _lab() as opened:
        found = {host: opened.sentinels(host) for host in hosts or ("mint-data", "mint-apps")}
    _show_sentinels(found, output)


def _show_sentinels(found: dict[str, dict[str, Any]], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(found, indent=1, sort_keys=True))
        return
    for host, parts in found.items():
        states = [state for state in parts["containers"].values() if state == "running"]
        words = [f"{len(states)} of {len(parts['containers'])} containers running"]
        words += [f"{parts['postgres']['rows']} rows"] if "postgres" in parts else []
        words += [f"{parts['redis']['keys']} keys"] if "redis" in parts else []
        words += [f"{len(parts['objects'])} objects"] if "objects" in parts else []
        click.echo(f"{host}: {', '.join(words)}")
