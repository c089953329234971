"""The commands that a refusal tells a person to type, carried out with a stand-in for `docker` in a folder of the test."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

# As Docker does it: `volume create` prints the name, be the volume new or not; `cp` to `-` writes an archive of what is below.
_DOCKER = r"""#!/bin/bash
set -eu
cd "${0%/*}/.."
case "$1 $2" in
"stop "*) test $# = 2 -a -d "containers/$2"; echo "$2" >> stopped; echo "$2" ;;
"volume create") test $# = 3; mkdir -p "volumes/$3"; echo "$3" ;;
"volume inspect") test $# = 5 -a "$3 $4" = "-f {{.Mountpoint}}"; test -d "volumes/$5"; echo "$PWD/volumes/$5" ;;
"cp "*) test $# = 3 -a "$3" = - -a "${2%/.}" != "$2"; tar -c -C "containers/${2%%:*}${2#*:}" . ;;
*) echo "unknown: $*" >&2; exit 64 ;;
esac
"""


class Done(NamedTuple):
    """Which containers were stopped, and the words that the image is to be run with."""

    stopped: list[str]
    run_with: list[str]


def carry_out(said: str, folder: Path, holds: dict[str, dict[str, str]]) -> Done:
    """Carry out what stands behind "By hand: "; `holds` gives the files of each CONTAINER:PATH. Raises `CalledProcessError`."""
    for at, files in holds.items():
        name, _, path = at.partition(":")
        for file, text in files.items():
            kept = folder / "containers" / name / path.lstrip("/") / file
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(text)
    (folder / "bin").mkdir()
    (folder / "bin/docker").write_text(_DOCKER)
    (folder / "bin/docker").chmod(0o755)
    commands, _, then = said.partition("By hand: ")[2].partition("; then run its image again with the same options and ")
    path = f"{folder}/bin:{os.environ['PATH']}"
    subprocess.run(["bash", "-c", commands], env={**os.environ, "PATH": path}, check=True, capture_output=True, text=True, timeout=30)
    return Done((folder / "stopped").read_text().split(), shlex.split(then.partition(". Nothing was changed")[0]))


def read(folder: Path) -> dict[str, str]:
    """Return each file below a folder with its text."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
