"""release brief: the runbook of a promotion for the person who does it, as the site's files have it now."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta

from controlplane.domain.amounts import show_age
from controlplane.domain.releases.values import ReleaseSpec
from controlplane.domain.windows import next_opening, open_now
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, demanded_of, environment_of


def release_brief(site: ReleaseSite, stack: str, ports: ReleasePorts) -> list[str]:
    """Return the runbook of a promotion for the person who does it, line by line."""
    spec, production = environment_of(site, stack, "production")
    name = shlex.quote(stack)
    lines = [f"# {stack}: {spec.goal}", "", f"Hosts      {', '.join(production.hosts)}, in this order; a host that fails stops those after it"]
    lines += [f"Window     {_window(site, spec, ports)}", f"Approval   {demanded_of(site, spec)}", f"Loop       {spec.loop or 'none'}"]
    lines += [f"Proof      {', '.join(production.smoke.files)}, within {production.smoke.within} s; a skipped test is not a pass", ""]
    lines += ["## Gate", *_gate_lines(spec, production.hosts), "", "## Commands"]
    # The rules of a promotion are production's alone.
    staging, promotion = (", then: controlplane approve {}" if asked != "none" else "" for asked in (site.view.approval, demanded_of(site, spec)))
    commands = [
        f"controlplane release check {name}",
        f"controlplane release stage {name} --manifest NAME --out stage.json    (read it{staging.format('stage.json')})",
        f"controlplane release stage {name} --plan stage.json",
        f"controlplane release smoke {name} --env staging",
        *([f"controlplane release recert {name} --manifest NAME"] if spec.recert else []),
        *([f"controlplane gates run {spec.promotion.pack}"] if spec.promotion.pack else []),
        *(f"controlplane ready {host}" for host in production.hosts),
        f"controlplane release promote {name} --out promote.json    (the gate and the preview: read it{promotion.format('promote.json')})",
        f"controlplane release promote {name} --plan promote.json    (within the window; interrupted, the same command goes on)",
        *([f"controlplane gates run {spec.promotion.pack}    (once more, as it is after the release)"] if spec.promotion.pack else []),
        f'controlplane release close {name} --env production --attest "what you attest"',
    ]
    lines += [
        *(f"{number}. {command}" for number, command in enumerate(commands, 1)),
        "",
        "## If it goes wrong",
        "A deployment that fails, or whose smoke tests do not all pass, is taken back by itself, and that is said.",
        f"Way back later: controlplane release rollback {name} --env production --dry-run    (names what it can't undo)",
        "Way back without a controller, on the host itself: /var/lib/controlplane/KEY/undo    (KEY of its step stands in 'controlplane runs list')",
        f"What runs where: controlplane release status {name}",
    ]
    return lines


def _gate_lines(spec: ReleaseSpec, hosts: Sequence[str]) -> list[str]:
    rules = spec.promotion
    return [
        "- contract: environment file as its contract says, no secret in the site's files or history",
        "- staged: staging runs the same digests, healthy, on fresh evidence",
        "- images: each service of production runs the digest that it runs in staging, also what the compose files pin by themselves",
        "- production: what was brought there before was proven, or taken back",
        f"- smoke: passed in staging within {show_age(timedelta(seconds=rules.smoke_within))}, after it was staged",
        f"- recert: {', '.join(one.name for one in spec.recert)}, within {show_age(timedelta(seconds=rules.recert_within))}"
        if spec.recert
        else "- recert: shut, the release names no command that certifies it",
        *([f"- pack {rules.pack}: its newest run passed on every host of production, by the policy as it is"] if rules.pack else []),
        *(f"- storage of {host}: its ready receipt holds" for host in hosts),
        f"- gaps: none is open in {spec.loop}" if spec.loop else "- gaps: shut, the release names no loop, so nobody knows which are its own",
        "- window and approval",
        "- waves: no host belongs to a wave that changes machines and is not ended",
        *(f"- way back of {host}: what runs there could come back, its images there or in their registry, its files readable" for host in hosts),
    ]


def _window(site: ReleaseSite, spec: ReleaseSpec, ports: ReleasePorts) -> str:
    windows, now = spec.promotion.windows or site.view.windows, ports.apply.clock.now()
    opening = open_now(windows, timezone=site.view.timezone, now=now)
    coming = next_opening(windows, timezone=site.view.timezone, now=now)
    return f"open now, {opening}" if opening else f"next {coming}" if coming else "any time"
