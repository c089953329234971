"""render: a plan as a plain Ansible project."""

from __future__ import annotations

import click

from controlplane.cli.options import output_option, print_json, site_option


@click.command(epilog="Example: controlplane render plan.json --out project && cd project && ansible-playbook site.yml")
@click.argument("plan_file", metavar="PLAN_FILE")
@click.option("--out", required=True, metavar="DIR", help="Folder to write; must not exist yet.")
@site_option
@output_option()
def render(plan_file: str, out: str, site: str | None, output: str) -> int:
    """Write a plan as an Ansible project that ansible-playbook runs without this program."""
    from controlplane import wiring  # noqa: PLC0415 - loaded when the verb runs
    from controlplane.cli.stopping import leaving  # noqa: PLC0415
    from controlplane.usecases.render_project import render_project  # noqa: PLC0415

    plan = wiring.plan_files().read(plan_file)
    view, ports = wiring.governed_site(site)
    project = render_project(plan, view, operator=wiring.operator(), ports=ports)
    with leaving(f"{out} may hold a part of the project, no host was changed: remove it, then run the same command again."):
        wiring.write_project(out, project)
    if output == "json":
        print_json({"plan": plan.plan, "folder": out, "files": sorted(project)})
        return 0
    click.echo(f"{len(project)} files in {out}. Next: cd {out} && ansible-playbook site.yml")
    return 0
