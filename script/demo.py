"""The main job on lab machines, by the same commands that an operator types, ending in a before/after table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from controlplane.adapters.lab.requirements import why_not
from controlplane.domain.evidence import Evidence, Reader, Unobserved
from controlplane.domain.evidence_file import read_evidence
from controlplane.domain.lineage import Lineage

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / ".venv" / "bin" / "controlplane"
SITE = ROOT / "inventory" / "lab"
console = Console(stderr=True)


class DemoFailedError(Exception):
    """A command of the demo ended otherwise than it should."""


def run(*argv: str, allow: tuple[int, ...] = (0,), quiet: bool = False) -> str:
    """Run one command of the program, shown as an operator would type it, and return its standard output."""
    console.print(f"[bold]$ controlplane {' '.join(argv)}[/bold]", highlight=False, soft_wrap=True)
    done = subprocess.run(
        [PROGRAM, *argv], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, "CONTROLPLANE_SITE": str(SITE)}
    )
    if not quiet:
        sys.stderr.write(done.stdout)
    if done.returncode not in allow:
        sys.stderr.write(done.stdout if quiet else "")
        raise DemoFailedError(f"controlplane {' '.join(argv)} ended with {done.returncode}, not with {' or '.join(map(str, allow))}")
    return done.stdout


def observe(file: Path) -> dict[str, Reader]:
    """Collect evidence from both machines and return a reader for each."""
    run("evidence", "--out", str(file), quiet=True)
    seen = read_evidence(file.read_bytes(), file=str(file))
    return {host: Reader(one) for host, one in seen.items() if isinstance(one, Evidence)}


def lies(reader: Reader, path: str) -> str:
    """Say on which disk a path lies."""
    lineage = Lineage(reader)
    try:
        disks = lineage.of_path(path).disks
        names = ", ".join(lineage.names(disks))
        return f"{names} (boot)" if disks & lineage.boot_disks() else f"{names} (data)"
    except Unobserved as doubt:
        return f"unknown: {doubt}"


def places(reader: Reader) -> dict[str, tuple[str, str]]:
    """Return what keeps data on this machine: name -> (path, disk)."""
    found = {"Docker's root": (reader.docker_info["root"], lies(reader, reader.docker_info["root"]))}
    root = reader.docker_config["containerd_root"]
    if root:
        found["containerd's root"] = (root, lies(reader, root))
    for container in sorted(reader.containers, key=lambda row: row["name"]):
        for mount in container["mounts"]:
            if mount["rw"] and mount["host_path"]:
                found[f"{container['name']}:{mount['destination']}"] = (mount["host_path"], lies(reader, mount["host_path"]))
    return found


def usage(reader: Reader) -> str:
    """Return how full the boot disk is."""
    seen = reader.usage["/"]
    used = seen["size"] - seen["free"]
    return f"{used / 1e6:,.0f} MB ({100 * used // (used + seen['available'])}%)"


def change_machines(folder: Path, capability: tuple[str, ...] = ()) -> dict[str, Any]:
    """Plan, approve and apply; return what apply answered."""
    file = folder / f"plan-{len(list(folder.iterdir()))}.json"
    run("plan", *capability, "--out", str(file), allow=(3,))
    run("approve", str(file))
    result: dict[str, Any] = json.loads(run("apply", str(file), "-o", "json", quiet=True))
    for change in result["changed"]:
        console.print(f"  {change['status']:<9} {change['kind']:<9} {change['target']}", highlight=False, soft_wrap=True)
    console.print(f"  outcome {result['outcome']}, run {result['run']}", highlight=False, soft_wrap=True)
    return result


def table(before: dict[str, Reader], after: dict[str, Reader], downtime: dict[str, float]) -> Table:
    """Return the before/after table; a path stands on one line of its own, so that it can be read and copied at 80 columns."""
    out = Table(title="Where the data lay, and where it lies now", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("data", overflow="fold", max_width=22)
    out.add_column("was / now", overflow="fold")
    out.add_column("down", justify="right", no_wrap=True)
    for host, reader in before.items():
        then, now = places(reader), places(after[host])
        out.add_row(Text(host, style="bold"))
        for name in then:
            container = name.partition(":")[0]
            lines = [f"{word} {disk:<13} {path}".rstrip() for word, (path, disk) in (("was", then[name]), ("now", now.get(name, ("gone", ""))))]
            seconds = f"{downtime[container]:.1f} s" if container in downtime else ""
            out.add_row(Text(name), Text("\n".join(lines)), seconds)
        out.add_row("boot disk used", f"was {usage(reader)}\nnow {usage(after[host])}", end_section=True)
    return out


def main() -> int:
    """Run the demo; 0 means that every step ended as it should and no byte was lost."""
    if line := why_not():
        sys.stderr.write(f"demo: {line}\n")
        return 4
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="controlplane-demo-") as name:
        folder = Path(name)
        run("lab", "reset", "mint-data", "mint-apps")
        run("lab", "seed")
        sentinels = run("lab", "sentinels", "-o", "json", quiet=True)
        before = observe(folder / "before.json")
        run("audit", allow=(3,))
        moved = change_machines(folder)
        run("verify", "--after-reboot", allow=(0, 3))
        if run("lab", "sentinels", "-o", "json", quiet=True) != sentinels:
            raise DemoFailedError("the data differs after the move")
        purged = change_machines(folder, ("--capability", "storage.purge"))
        if run("lab", "sentinels", "-o", "json", quiet=True) != sentinels:
            raise DemoFailedError("the data differs after the purge")
        after = observe(folder / "after.json")
        run("receipts", "verify")
        Console().print(table(before, after, moved["downtime_s"]))
        for key in (*moved["receipts"], *purged["receipts"]):
            Console().print(f"receipt {key}", highlight=False, soft_wrap=True)
        Console().print(f"Data identical by checksum before and after. {time.monotonic() - began:.0f} s.", highlight=False)
        for words in (
            "Look around:  export CONTROLPLANE_SITE=$PWD/inventory/lab PATH=$PWD/.venv/bin:$PATH; controlplane audit",
            "When done:    controlplane lab down",
        ):
            Console().print(words, highlight=False, soft_wrap=True, markup=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoFailedError as error:
        sys.stderr.write(f"demo: {error}\n")
        sys.exit(1)
