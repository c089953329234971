"""Progress of long work: a spinner on a terminal, plain lines elsewhere where they help; always on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show that `what` goes on, and give a function that takes each further line of progress."""
    if not sys.stderr.isatty():
        yield _quiet_line
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.text import Text  # noqa: PLC0415

    console = Console(stderr=True)
    with console.status(what, spinner="dots") as status:

        def show(line: str) -> None:
            if line.startswith("  "):
                status.update(Text(f"{what}: {line.strip()}"), spinner="dots")
            else:
                console.print(line, markup=False, highlight=False)

        yield show


def _quiet_line(line: str) -> None:
    # Steps belong into a log, the tasks within them do not.
    if not line.startswith("  "):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
