"""An apply with nothing to do, against the least that starting a playbook takes; strace says whether one was started."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.fleet import Fleet, fleet, why_not
from bench.rows import PROGRAM, BenchError, Row, Skipped, command, in_turn

_POLICY = "version: 1\ntiers: {boot-only: {data: boot}}\nhosts: {bench-00: {tier: boot-only}}\n"


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return one row."""
    what = "apply with nothing to do"
    reason = why_not() or ("strace missing: script/setup installs it" if shutil.which("strace") is None else None)
    if reason is not None:
        return [Skipped(what, reason)]
    with fleet(1) as made:
        env = made.environment()
        site, plan = made.folder / "site", made.folder / "plan.json"
        made.write_site(site, _POLICY)
        command([PROGRAM, "plan", "--site", site, "--out", plan], env=env)
        if json.loads(plan.read_text())["steps"]:
            raise BenchError("the plan for a host that needs nothing has steps")
        apply = [PROGRAM, "apply", plan, "--site", site]
        if not _playbooks([PROGRAM, "plan", "--site", site], made, env):
            raise BenchError("strace does not see the playbook by which a plan collects: its count means nothing here")
        started = _playbooks(apply, made, env)
        if started:
            raise BenchError(f"an apply with nothing to do started {started} programs of Ansible")
        ours, theirs = in_turn(
            3 if quick else 9, lambda: command(apply, env=env), lambda: command([PROGRAM.with_name("ansible-playbook"), "--version"], env=env)
        )
    return [Row(f"{what}: 0 playbooks started", ours, "ansible-playbook --version", theirs, 1.5)]


def _playbooks(argv: list[str | Path], made: Fleet, env: dict[str, str]) -> int:
    """Return how many programs of Ansible a command starts."""
    trace = made.folder / "trace"
    command(["strace", "-f", "-qq", "-o", trace, "-e", "trace=execve", *argv], env=env)
    return sum("ansible" in line and "= 0" in line for line in trace.read_text().splitlines())
