"""Where the adapters of releases are constructed; each is imported when it is asked for."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controlplane.adapters.page_files import PageFiles
    from controlplane.adapters.release_files import ReleaseFolder
    from controlplane.adapters.service_secrets import Told
    from controlplane.domain.examination import Examination
    from controlplane.domain.releases.smoke import SmokeReport
    from controlplane.domain.releases.values import EnvironmentName
    from controlplane.domain.site_view import SiteView
    from controlplane.usecases.check_release import CheckPorts
    from controlplane.usecases.close_release import ClosePorts
    from controlplane.usecases.release_case import Checked, Progress, ReleasePorts, ReleaseSite
    from controlplane.usecases.run_recert import RecertPorts
    from controlplane.usecases.run_smoke import SmokePorts


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


def smoke_ports(view: SiteView) -> SmokePorts:
    """Return everything that a smoke run touches."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane import wiring  # noqa: PLC0415
    from controlplane.adapters.known_hosts import NAME  # noqa: PLC0415
    from controlplane.adapters.plan_files import PlanFolder  # noqa: PLC0415
    from controlplane.adapters.release_files import ReleaseFolder  # noqa: PLC0415
    from controlplane.adapters.smoke_tests import PytestSmokeRunner  # noqa: PLC0415
    from controlplane.usecases.run_smoke import SmokePorts  # noqa: PLC0415

    folder = Path(view.folder)
    return SmokePorts(
        clock=wiring.clock(),
        entropy=wiring.entropy(),
        evidence=wiring.evidence_source(view),
        receipts=wiring.receipts(view.folder),
        plans=PlanFolder(folder / "state" / "plans"),
        files=ReleaseFolder(folder),
        runner=PytestSmokeRunner(folder, folder / NAME),
    )


def recert_ports(view: SiteView) -> RecertPorts:
    """Return everything that a recertification touches."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane import wiring  # noqa: PLC0415
    from controlplane.adapters.recert_commands import CommandRunner  # noqa: PLC0415
    from controlplane.adapters.release_files import ReleaseFolder  # noqa: PLC0415
    from controlplane.usecases.run_recert import RecertPorts  # noqa: PLC0415

    folder = Path(view.folder)
    return RecertPorts(
        clock=wiring.clock(),
        entropy=wiring.entropy(),
        receipts=wiring.receipts(view.folder),
        files=ReleaseFolder(folder),
        runner=CommandRunner(folder),
    )


def junit_files() -> PageFiles:
    """Return the writer of JUnit files."""
    from controlplane.adapters.page_files import PageFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return PageFiles("JUnit file", "--junit")


@contextmanager
def releasing(given: str | None, stack: str | None, environment: EnvironmentName) -> Iterator[tuple[ReleaseSite, ReleasePorts]]:
    """Give a site and everything that bringing a stack to an environment touches; the store is closed afterwards. Inventory scripts and plugins run.

    The environment file's text goes to the role of that stack alone; None: to none.
    """
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane import wiring  # noqa: PLC0415
    from controlplane.adapters.wave_folder import WaveFiles  # noqa: PLC0415
    from controlplane.domain.site_view import view_of  # noqa: PLC0415
    from controlplane.usecases.judge_release import sound_views  # noqa: PLC0415
    from controlplane.usecases.release_case import ReleasePorts, ReleaseSite  # noqa: PLC0415
    from controlplane.wiring.governing import wave_attempts  # noqa: PLC0415

    content = wiring.site(given).read(run_inventory=True)
    view, files = view_of(content), release_files(given)
    site = ReleaseSite(
        view=view,
        governance=content.governance,
        files=files,
        views=lambda named, name: sound_views(files, named, name, files.spec(named), view.desired.by_name()),
        operator=wiring.operator(),
    )
    apply = wiring.apply_ports(content, view, more=_told(files, stack, environment))
    with wiring.coordination(view.folder) as store:
        yield (
            site,
            ReleasePorts(
                apply=apply,
                runs=wiring.proven_runs(view.folder, store),
                leases=store,
                waves=wave_attempts(view, lambda: nullcontext(store), chain=lambda: [one for _, one in apply.receipts.load()]),
                prove=_prover(view),
                check=_checker(given),
                authority=_examiner(given),
                folder=WaveFiles(Path(view.folder), "releases"),
            ),
        )


@contextmanager
def closing(given: str | None, stack: str, environment: EnvironmentName) -> Iterator[tuple[ReleaseSite, ClosePorts]]:
    """Give a site and everything that closing a release touches."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.git_history import GitHistory  # noqa: PLC0415
    from controlplane.usecases.close_release import ClosePorts  # noqa: PLC0415

    with releasing(given, stack, environment) as (site, ports):
        yield site, ClosePorts(release=ports, history=GitHistory(Path(site.view.folder)))


def _told(files: ReleaseFolder, stack: str | None, environment: EnvironmentName) -> Callable[[str], Told]:
    from controlplane.domain.errors import InputInvalidError  # noqa: PLC0415 - a verb that isn't called costs nothing

    def told(_host: str) -> Told:
        if stack is None:
            return {}
        try:
            return {"release": {"env": files.env_text(stack, environment), "digest": files.env_digest(stack, environment)}}
        except InputInvalidError:
            # A way back needs no environment file of ours; whatever brings one has read it before it begins.
            return {}

    return told


def _prover(view: SiteView) -> Callable[..., SmokeReport]:
    def prove(stack: str, environment: EnvironmentName, *, progress: Progress) -> SmokeReport:
        from controlplane import wiring  # noqa: PLC0415 - a verb that isn't called costs nothing
        from controlplane.usecases.run_smoke import run_smoke  # noqa: PLC0415

        return run_smoke(stack, environment, view, operator=wiring.operator(), ports=smoke_ports(view), progress=progress)

    return prove


def _examiner(given: str | None) -> Callable[[], Examination]:
    def examine() -> Examination:
        from controlplane import wiring  # noqa: PLC0415 - a verb that isn't called costs nothing
        from controlplane.usecases.examine_site import examine_site  # noqa: PLC0415

        with wiring.doctor_ports(given) as (name, ports):
            return examine_site(name, ports)

    return examine


def _checker(given: str | None) -> Callable[[str, EnvironmentName], Checked]:
    def check(stack: str, environment: EnvironmentName) -> Checked:
        from controlplane.usecases.check_release import check_release  # noqa: PLC0415 - a verb that isn't called costs nothing
        from controlplane.usecases.release_case import Checked  # noqa: PLC0415

        found = check_release(stack, environment=environment, ports=check_ports(given))
        return Checked(tuple(str(fault) for fault in found.faults), "; ".join(found.doubts) or None)

    return check
