"""Start programs from argument lists and say what failed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from controlplane.domain.errors import RunFailedError

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def search_path() -> str:
    """Return the PATH with sbin first: it is not in every operator's PATH, and what the lab starts mostly lives there."""
    return ":".join(filter(None, [STANDARD_PATH, os.environ.get("PATH", "")]))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the caller's environment with the PATH and locale that the lab's programs need."""
    fixed = {"PATH": search_path(), "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    return {**os.environ, **fixed, **(extra or {})}


def run(
    argv: Sequence[str | Path],
    *,
    log: IO[bytes] | None = None,
    stdin: IO[bytes] | None = None,
    timeout: float | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return its output; a failure or a time-out is an error with its last lines.

    `log` takes the output instead, and is what the message then names.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            check=False,
            stdin=stdin or subprocess.DEVNULL,
            stdout=log or subprocess.PIPE,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            env=environment(extra),
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise RunFailedError(f"lab: '{' '.join(words[:4])}' did not end within {timeout:.0f} s") from None
    except FileNotFoundError:
        raise RunFailedError(f"lab: program {words[0]} is not installed") from None
    if done.returncode != 0:
        tail = f"see {log.name}" if log else " / ".join(done.stderr.decode(errors="replace").strip().splitlines()[-4:])
        raise RunFailedError(f"lab: '{' '.join(words[:6])}' failed with exit code {done.returncode}: {tail}")
    return "" if log else done.stdout.decode(errors="replace")


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Say whether a program ends with exit code 0; its output is dropped."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, check=False, capture_output=True, stdin=subprocess.DEVNULL, env=environment())
    return done.returncode == 0
