"""How the site stands around a release: looked at before anything of it is changed and put on record as it begins, and once more when it is closed.

Rules:
- It is looked at once whatever needs no look has let the plan through, as looking takes minutes. It goes on record after the gate and every
  refusal, and before the first host is begun: whatever was refused leaves none.
- It lies in a file of its own, whose digest the receipt holds, as a closeout does: every load of the chain would read it else.
- Once something of a plan stands nothing is recorded of before it any more, however it is gone on with.
- What can't be told is UNKNOWN on that record, and is in no release's way: its gate is another matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from controlplane.domain.digest import digest_of
from controlplane.domain.errors import ControlPlaneError, InterruptedRunError
from controlplane.domain.plan import Plan
from controlplane.domain.releases.around import ID, UNKNOWN, State, Stood, Unknown, attempt_of, authority_of, open_gaps, open_loops, state_of
from controlplane.domain.releases.history import deployments
from controlplane.domain.releases.values import EnvironmentName
from controlplane.domain.run_key import make_run_key
from controlplane.domain.site_view import SiteView
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.apply_plan import refuse_unseen
from controlplane.usecases.judge_hosts import judge_site
from controlplane.usecases.record_run import STAMP, Ledger
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, environment_of, history
from controlplane.usecases.release_way_back import wanted_by

_T = TypeVar("_T")


def look_before(site: ReleaseSite, stack: str, name: EnvironmentName, plan: Plan, ports: ReleasePorts, *, view: SiteView) -> Callable[[str], None]:
    """Look at how things stand before a plan is carried out; return what puts that on record for a run, once its first host is about to begin.

    `view` is the site with that release. Raises `RefusedError` for a plan that would be refused without a look.
    """
    if _stands(plan, ports):
        return lambda _run: None
    refuse_unseen(plan, view, operator=site.operator, ports=ports.apply)
    begun: list[str] = []
    stood = look_around(site, ports, lambda: _state(site, stack, name, ports))

    def begin(run: str) -> None:
        if begun:
            return
        apply = ports.apply
        key = make_run_key(ID, apply.clock.now(), apply.entropy.four_hex())
        ledger = Ledger(apply.receipts, apply.clock, run=key, site=site.view.name, plan="", policy=site.view.policy_digest, operator=site.operator)
        step = f"{stack}/{name}"
        ledger.intend(key, host="*", capability=ID, step=step)
        file = ports.folder.keep(stack, f"{name}-{attempt_of(key)}", "before.json", (stood.model_dump_json(indent=2) + "\n").encode())
        evidence = digest_of(stood.model_dump(mode="json"))
        ledger.close(key, host="*", capability=ID, step=step, outcome="done", evidence=evidence, told={"run": run, "file": file})
        begun.append(run)

    return begin


def look_around(site: ReleaseSite, ports: ReleasePorts, state: Callable[[], State]) -> Stood:
    """Return how things stand now; `state` gives what runs where."""
    why: dict[str, str] = {}

    def told(part: str, look: Callable[[], _T]) -> _T | Unknown:
        try:
            return look()
        except InterruptedRunError:
            raise
        except ControlPlaneError as error:
            why[part] = " ".join(str(error).split())
            return UNKNOWN

    return Stood(
        at=ports.apply.clock.now().strftime(STAMP),
        state=told("state", state),
        gaps=told("gaps", lambda: open_gaps(site.governance.checked_registers())),
        loops=told("loops", lambda: open_loops(site.governance.checked_registers())),
        authority=told("authority", lambda: authority_of(ports.authority())),
        why=why,
    )


def _stands(plan: Plan, ports: ReleasePorts) -> bool:
    """Say whether something of the plan was begun on a host and not taken back."""
    chain = tuple(receipt for _, receipt in ports.apply.receipts.load())
    return any(one.state != "undone" for one in deployments(chain, ports.apply.plans.get, plan=plan.plan))


def _state(site: ReleaseSite, stack: str, name: EnvironmentName, ports: ReleasePorts) -> State:
    apply, hosts = ports.apply, environment_of(site, stack, name)[1].hosts
    found = history(site, stack, name, tuple(receipt for _, receipt in sound_chain(apply.receipts)), apply)
    view = site.view.releasing({one.host: wanted_by(one.current, ports) for one in found.hosts if one.current is not None})
    chosen = view.chosen(hosts)
    seen = apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    return state_of(found, judge_site(view, hosts=hosts, seen=seen, now=apply.clock.now()))
