"""Where the adapters of releases are constructed; each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.adapters.release_files import ReleaseFolder
    from controlplane.usecases.check_release import CheckPorts


def release_files(given: str | None) -> ReleaseFolder:
    """Return the files of a site's releases."""
    from controlplane import wiring  # noqa: PLC0415 - a verb that isn't called costs nothing
    from controlplane.adapters.release_files import ReleaseFolder  # noqa: PLC0415

    return ReleaseFolder(wiring.site(given).folder)


def check_ports(given: str | None) -> CheckPorts:
    """Return what checks a release without a machine; inventory scripts and plugins are not run."""
    from functools import partial  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane import wiring  # noqa: PLC0415
    from controlplane.adapters.git_secrets import GitSecrets  # noqa: PLC0415
    from controlplane.usecases.check_release import CheckPorts  # noqa: PLC0415

    folder = wiring.site(given)
    return CheckPorts(files=release_files(given), search=GitSecrets(folder.folder), content=partial(folder.read, run_inventory=False))
