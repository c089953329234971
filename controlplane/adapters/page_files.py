"""Pages for people as files: whole or not at all, and only where a file was or can be."""

from __future__ import annotations

from pathlib import Path

from controlplane.adapters.durable_files import why_unwritable, write_durably
from controlplane.domain.errors import Fault, InputInvalidError


class PageFiles:
    """Writes pages, or other files for people and programs; `what` they are and the `option` that names them stand in messages."""

    def __init__(self, what: str = "page", option: str = "--out") -> None:
        self._what, self._option = what, option

    def refuse_unless_writable(self, path: str, *, made_from: str | None = None) -> None:
        """Raise `InputInvalidError` where no page could be written, or it would replace what it is made from: collecting may take minutes."""
        fault = why_unwritable(Path(path), self._what)
        if fault is None and made_from is not None and Path(path).resolve() == Path(made_from).resolve():
            fault = "is the evidence itself, which the page would replace: name another file"
        if fault is not None:
            raise InputInvalidError([Fault(path, 0, self._option, fault)])

    def write(self, path: str, page: bytes) -> None:
        """Write the page atomically (mode 0644); a file that is there is replaced. Raises `InputInvalidError` where that fails."""
        try:
            write_durably(Path(path), page, mode=0o644)
        except OSError as error:
            raise InputInvalidError(
                [Fault(path, 0, self._option, f"can't be written ({error.strerror}): name a file in a folder of yours")]
            ) from None
