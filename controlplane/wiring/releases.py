"""The adapters of releases; each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.adapters.page_files import PageFiles
    from controlplane.domain.site_view import SiteView
    from controlplane.usecases.run_recert import RecertPorts
    from controlplane.usecases.run_smoke import SmokePorts


def smoke_ports(view: SiteView) -> SmokePorts:
    """Return everything that a smoke run touches."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane import wiring  # noqa: PLC0415
    from controlplane.adapters.known_hosts import NAME  # noqa: PLC0415
    from controlplane.adapters.plan_files import PlanFolder  # noqa: PLC0415
    from controlplane.adapters.release_files import SiteReleases  # noqa: PLC0415
    from controlplane.adapters.smoke_tests import PytestSmokeRunner  # noqa: PLC0415
    from controlplane.usecases.run_smoke import SmokePorts  # noqa: PLC0415

    folder = Path(view.folder)
    return SmokePorts(
        clock=wiring.clock(),
        entropy=wiring.entropy(),
        evidence=wiring.evidence_source(view),
        receipts=wiring.receipts(view.folder),
        plans=PlanFolder(folder / "state" / "plans"),
        files=SiteReleases(folder),
        runner=PytestSmokeRunner(folder, folder / NAME),
    )


def recert_ports(view: SiteView) -> RecertPorts:
    """Return everything that a recertification touches."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane import wiring  # noqa: PLC0415
    from controlplane.adapters.recert_commands import CommandRunner  # noqa: PLC0415
    from controlplane.adapters.release_files import SiteReleases  # noqa: PLC0415
    from controlplane.usecases.run_recert import RecertPorts  # noqa: PLC0415

    folder = Path(view.folder)
    return RecertPorts(
        clock=wiring.clock(),
        entropy=wiring.entropy(),
        receipts=wiring.receipts(view.folder),
        files=SiteReleases(folder),
        runner=CommandRunner(folder),
    )


def junit_files() -> PageFiles:
    """Return the writer of JUnit files."""
    from controlplane.adapters.page_files import PageFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return PageFiles("JUnit file", "--junit")
