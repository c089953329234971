"""Where a secret must not be seen, looked at: files, and the arguments of every process of this host and its lab machines."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def found_below(canary: str, *folders: Path) -> list[str]:
    """Return the files that hold the canary."""
    needle, found = canary.encode(), []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                if path.is_file() and not path.is_symlink() and needle in path.read_bytes():
                    found.append(str(path))
            except OSError:
                continue
    return found


@contextmanager
def watched_arguments(canary: str) -> Iterator[list[str]]:
    """Look at every process of this host, lab machines included, as often as can be while the block runs."""
    seen: list[str] = []
    needle, over = canary.encode(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            for entry in os.listdir("/proc"):  # noqa: PTH208 - names only, and often
                if entry.isdigit():
                    try:
                        words = Path(f"/proc/{entry}/cmdline").read_bytes()
                    except OSError:
                        continue
                    if needle in words:
                        seen.append(words.replace(b"\0", b" ").decode(errors="replace"))
            time.sleep(0.05)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
