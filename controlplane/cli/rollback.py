"""rollback: the reverse move."""

from __future__ import annotations

import click

from controlplane.cli.options import output_option, print_json, site_option


@click.command(epilog="Example: controlplane rollback CAP-20260101-120000__docker.data_root__R1a2b")
@click.argument("run_key", metavar="RUN_KEY")
@site_option
@output_option()
def rollback(run_key: str, site: str | None, output: str) -> int:
    """Move a run's change back: newer data is carried back and proven, configuration restored byte for byte. Refused after a purge.

    A release goes back by its own verb: release rollback.
    """
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.apply import print_result  # noqa: PLC0415
    from controlplane.cli.progress import working  # noqa: PLC0415
    from controlplane.cli.stopping import ON_RECORD, leaving  # noqa: PLC0415
    from controlplane.domain.errors import ControlPlaneError  # noqa: PLC0415
    from controlplane.usecases.interrupted_run import not_begun  # noqa: PLC0415
    from controlplane.usecases.roll_back import roll_back  # noqa: PLC0415

    view, ports = wiring.governed_site(site)
    with leaving(ON_RECORD):
        try:
            with leaving(ON_RECORD), working("rolling back") as progress:
                result = roll_back(run_key, view, operator=wiring.operator(), ports=ports, progress=progress, waves=wiring.waves_of(view))
        except ControlPlaneError as error:
            if output == "json":
                print_json(not_begun("", error).model_dump(mode="json"))
            raise
        print_result(result, output)
    return result.exit_code()
