"""What a plan brings, where it is a release's: such plans have gates of their own, so one verb alone carries each out."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from controlplane.domain.capabilities import CAPABILITIES, release_deploy
from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import Plan
from controlplane.domain.releases.values import EnvironmentName


class Brings(NamedTuple):
    """What a plan of a release brings: read from the plan itself."""

    stack: str
    environment: EnvironmentName
    manifest: str
    manifest_name: str

    @property
    def verb(self) -> str:
        """Return the words, after the program's name, that plan it and carry it out."""
        return f"release {'promote' if self.environment == 'production' else 'stage'} {shlex.quote(self.stack)}"


def brings(plan: Plan) -> Brings | None:
    """Return what a plan brings, None for one that is no release's."""
    found = [step for step in plan.steps if step.capability == release_deploy.ID]
    if not found or len(found) != len(plan.steps):
        return None
    said = found[0].variables
    environment: EnvironmentName = "production" if said.get("compose_stack_environment") == "production" else "staging"
    told = [str(said.get(f"compose_stack_{key}", "")) for key in ("stack", "manifest", "manifest_name")]
    return Brings(told[0], environment, told[1], told[2])


def made_by(plan: Plan) -> str:
    """Return the command that makes such a plan anew, with each capability that is only planned where it is asked for."""
    found = brings(plan)
    if found is not None:
        return f"controlplane {found.verb} --out FILE"
    of_it = {step.capability for step in plan.steps} | {refusal.capability for refusal in plan.refusals}
    asked = [f" --capability {one.id}" for one in CAPABILITIES.values() if one.id in of_it and one.only_by_name and one.led_by is None]
    return f"controlplane plan{''.join(asked)} --out FILE"


def refuse_led(plan: Plan, plan_file: str) -> None:
    """Raise `RefusedError` for a plan that has gates of its own: carried out by 'apply', nobody would ask them."""
    if not any(CAPABILITIES[step.capability].led_by for step in plan.steps if step.capability in CAPABILITIES):
        return
    found = brings(plan)
    how = f"controlplane {found.verb} --plan {shlex.quote(plan_file)}" if found is not None else "controlplane release --help"
    raise RefusedError(f"plan {plan.plan[:19]} is of a release, which has gates of its own. Nothing was changed. Carry it out there: {how}")
