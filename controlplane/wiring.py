"""The only place where adapters are constructed; each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.adapters.lab.lab import Lab
    from controlplane.adapters.new_folder import NewSiteFolder
    from controlplane.adapters.site_files import SiteFolder


def lab() -> Lab:
    """Return the lab of machines on this host."""
    from controlplane.adapters.lab import open_lab  # noqa: PLC0415 - a verb that isn't called costs nothing

    return open_lab()


def site(given: str | None) -> SiteFolder:
    """Return the site that was named, that $CONTROLPLANE_SITE names, or the only one under inventory/ here."""
    import os  # noqa: PLC0415 - a verb that isn't called costs nothing
    from pathlib import Path  # noqa: PLC0415

    from controlplane.adapters.site_files import SiteFolder, find_site  # noqa: PLC0415

    return SiteFolder(find_site(given, os.environ, Path.cwd()))


def new_site(folder: str) -> NewSiteFolder:
    """Return the folder that a new site is written to."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.new_folder import NewSiteFolder  # noqa: PLC0415

    return NewSiteFolder(Path(folder))
