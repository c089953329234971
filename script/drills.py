"""Run the drills of one seed, going on where the last run of that seed ended, and print what became of each."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from controlplane.adapters.lab.home import LabHome  # noqa: E402
from controlplane.adapters.lab.requirements import why_not  # noqa: E402
from tests.vm.journal import last_attempts, read_journal  # noqa: E402

NOTHING_LEFT = 5  # pytest's exit code where every drill is in the journal already


def main() -> int:
    """Return 0 if every drill of the journal passed, 1 if one failed, 2 if they can't run."""
    parser = argparse.ArgumentParser(prog="script/drills", description="Break virtual machines, and show that each comes back whole.")
    parser.add_argument("--seed", type=int, default=1, help="names the journal and chooses the points of power cuts (1)")
    parser.add_argument("--points", type=int, help="power cuts in each job (20), or kills (50)")
    parser.add_argument("--lab", action="store_true", help="kills of the whole move on lab machines instead: minutes, not hours (50 points)")
    parser.add_argument("--again", action="store_true", help="run what failed once more; both attempts stay in the journal")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only drills with this in their names; may be given again")
    given = parser.parse_args()
    if line := why_not(vm=not given.lab):
        sys.stderr.write(f"drills: {line}\n")
        return 2
    folder, lane, file, points = (
        ("kills", "lab", "tests/lab/test_whole_move_killed.py", 50) if given.lab else ("drills", "vm", "tests/vm/test_drills.py", 20)
    )
    journal = LabHome.from_environment().path / folder / f"{given.seed}.jsonl"
    argv = [sys.executable, "-m", "pytest", "-v", "-p", "tests.vm.journal", "-m", lane, file]
    argv += ["--journal", str(journal), "--seed", str(given.seed), "--points", str(given.points or points)]
    argv += ["-k", " or ".join(given.only)] if given.only else []
    argv += ["--again"] if given.again else []
    code = subprocess.run(argv, cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode
    lines = read_journal(journal)
    table = Table(title=f"Drills by seed {given.seed}: {journal}")
    for name in ("drill", "point", "outcome", "seconds"):
        table.add_column(name, overflow="fold")
    for line in lines:
        told = f"{line['outcome']}: {line['why']}" if "why" in line else line["outcome"]
        table.add_row(line["drill"].replace("_", " "), line["point"], told, str(line["seconds"]))
    Console().print(table)
    if code not in (0, 1, NOTHING_LEFT):
        return 2
    return int(code == 1 or any(line["outcome"] != "passed" for line in last_attempts(lines).values()))


if __name__ == "__main__":
    sys.exit(main())
