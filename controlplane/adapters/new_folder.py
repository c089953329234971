"""Write the files of a new site, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controlplane.domain.errors import RefusedError, RunFailedError


class NewSiteFolder:
    """A folder that does not hold a site yet; it is made with its parents where it isn't there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """Return the folder's own name, also for `.`."""
        return self.folder.resolve().name

    def fill(self, files: Mapping[str, str]) -> tuple[str, ...]:
        """Write the files and return their paths; RefusedError if one is there already, and then nothing is written."""
        if self.folder.exists() and not self.folder.is_dir():
            raise RefusedError(f"{self.folder} is a file: name a folder. Nothing was written.")
        blocked = [name.partition("/")[0] for name in files if "/" in name and (self.folder / name).parent.is_file()]
        there = blocked[:1] + [name for name in files if (self.folder / name).exists() or (self.folder / name).is_symlink()]
        if there:
            raise RefusedError(f"{self.folder} holds {', '.join(there)} already: name another folder, or edit what is there. Nothing was written.")
        written = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (self.folder / name).parent.mkdir(exist_ok=True)
                with (self.folder / name).open("x", encoding="utf-8") as stream:
                    stream.write(text)
                written.append(str(self.folder / name))
        except OSError as error:
            done = ", ".join(written) or "nothing"
            raise RunFailedError(f"{self.folder}: {error.strerror}; written so far: {done}. Remove that, then run it again.") from None
        return tuple(written)
