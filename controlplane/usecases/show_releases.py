"""release status: what runs where, by which release, what is open, and what to do next.

Rules:
- By the receipts: what was brought. By fresh evidence: whether it runs. Where the two differ that is said; what could not be seen is UNKNOWN.
- Of what was there before a first release that went back, the same: whether it is there again, and whether that is proven.
- Whatever was interrupted, the command that goes on with it stands there, also where that was between two hosts.
- Of a run that is open on a host that its environment has no more, it is said how that is ended: no plan goes on there, and where nothing of the
  run is left on the other hosts (elsewhere.py) no rollback is named, for it would be another release's.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RunFailedError
from controlplane.domain.finding import Finding
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.bare import Bare, bare
from controlplane.domain.releases.elsewhere import OpenRun, in_the_way, open_runs
from controlplane.domain.releases.history import Deployed, Deployment, OnHost
from controlplane.domain.releases.proof import first_proof, proof_since, unconfirmed
from controlplane.domain.releases.taken_back import still_there
from controlplane.domain.releases.values import EnvironmentName
from controlplane.usecases.apply_guards import sound_chain
from controlplane.usecases.interrupted_run import named_again, way_back_command
from controlplane.usecases.judge_hosts import judge_site
from controlplane.usecases.release_case import ReleasePorts, ReleaseSite, history, ran
from controlplane.usecases.release_way_back import how_to_take_back, take_back_command
from controlplane.usecases.show_gone_back import GoneBack, gone_back

ENVIRONMENTS: tuple[EnvironmentName, ...] = ("staging", "production")


def release_status(site: ReleaseSite, stack: str, ports: ReleasePorts) -> dict[str, Any]:
    """Return where a stack stands in each environment: hosts with what was brought and what runs, the newest proof, and what is next."""
    spec = site.files.spec(stack)
    chain = tuple(receipt for _, receipt in sound_chain(ports.apply.receipts))
    rows = [_environment(site, stack, name, chain, ports) for name in ENVIRONMENTS if name in spec.environments]
    return {"stack": stack, "goal": spec.goal, "doubt": None, "environments": rows, "next": _next(stack, rows, lambda: _back(site, stack, ports))}


def every_status(site: ReleaseSite, ports: ReleasePorts) -> list[dict[str, Any]]:
    """Return where each stack stands; one that can't be told (its files have faults, a plan of it is gone) is a row that says why.

    Raises `RunFailedError` where the receipts do not hold, which are everybody's.
    """
    sound_chain(ports.apply.receipts)
    rows = []
    for stack in site.files.stacks():
        try:
            rows.append(release_status(site, stack, ports))
        except InterruptedRunError:
            raise
        except ControlPlaneError as error:
            step = f"mend that, then: controlplane release status {shlex.quote(stack)}"
            rows.append({"stack": stack, "goal": "", "doubt": str(error), "environments": [], "next": step})
    return rows


def _environment(site: ReleaseSite, stack: str, name: EnvironmentName, chain: Sequence[Receipt], ports: ReleasePorts) -> dict[str, Any]:
    found = history(site, stack, name, chain, ports.apply)
    judged = {one.host: one for one in _judged(site, stack, found, ports)}
    current, stands = found.current, found.reached
    again = bare(found, chain, ports.apply.plans.get)
    back = gone_back(site, found, again, ports)
    proof = again.proof if again is not None else proof_since(chain, stands)
    return {
        "environment": name,
        "manifest": current.manifest_name if current is not None else None,
        "doubt": found.doubt,
        "proof": {"run": proof.receipt.key, "passed": proof.passed, "at": proof.receipt.at} if proof is not None else None,
        "hosts": [_host(one, judged.get(one.host), back.get(one.host)) for one in found.hosts],
        "unproven": stands.current.manifest_name if stands.current is not None and proof is None else None,
        "taken_back": _taken_back(found),
        "goes_on": _goes_on(site, name, found, chain, ports) or _to_prove(stack, name, again),
    }


def _to_prove(stack: str, name: EnvironmentName, again: Bare | None) -> str | None:
    """Return the command that proves what no release brought and runs again, where a way back was stopped before its proof."""
    if again is None or again.proof is not None or again.doubt is None:
        return None
    told = f"{again.newest.manifest_name} went back, and what runs again is not proven"
    return f"controlplane release smoke {shlex.quote(stack)} --env {name}    ({told})"


def _host(one: OnHost, finding: Finding | None, back: GoneBack | None) -> dict[str, Any]:
    current, unsettled = one.current, one.unsettled
    verdict = back.verdict if back is not None else finding.verdict if finding is not None else None
    return {
        "host": one.host,
        "brought": current.manifest_name if current is not None else None,
        "run": current.run if current is not None else None,
        "verdict": verdict.value if verdict is not None else None,
        "reason": back.reason if back is not None else _reason(one, finding),
        "went_back": back.manifest_name if back is not None else None,
        "open": {"run": unsettled.run, "manifest": unsettled.manifest_name, "state": unsettled.state} if unsettled is not None else None,
    }


def _reason(one: OnHost, finding: Finding | None) -> str:
    """Return what is known of a host: also of a first deployment, which stands nowhere before it has ended."""
    first = one.unsettled or one.failed
    if one.current is not None or first is None:
        return finding.reason if finding is not None else "nothing was brought here by a release"
    came_to = {"open": "was begun here and did not end", "failed": "failed here"}.get(first.state, "is on its way back from here")
    return f"{first.manifest_name} {came_to}{f': {finding.reason}' if finding is not None else ''}"


def _judged(site: ReleaseSite, stack: str, found: Deployed, ports: ReleasePorts) -> list[Finding]:
    wanted = {}
    for host in found.hosts:
        by = host.current or next((one for one in (host.unsettled, host.failed) if one is not None and one.state != "returning"), None)
        if by is not None:
            plan = ports.apply.plans.get(by.plan)
            step = next((one for one in plan.steps if one.host == host.host), None)
            if step is None:
                raise RunFailedError(f"plan {plan.plan[:19]} does not say what it brought to {host.host}. Nothing was changed.")
            wanted[host.host] = ran(step)
    if not wanted:
        return []
    view = site.view.releasing(wanted)
    chosen = view.chosen(tuple(wanted))
    seen = ports.apply.evidence.collect([route for _, route in chosen], {desired.host: desired for desired, _ in chosen})
    report = judge_site(view, hosts=tuple(wanted), seen=seen, now=ports.apply.clock.now())
    return [one for one in report.findings if (one.check, one.surface) == ("D249", f"release:{stack}")]


def _goes_on(site: ReleaseSite, name: EnvironmentName, found: Deployed, chain: Sequence[Receipt], ports: ReleasePorts) -> str | None:
    """Return the command that goes on with what is open, None where nothing is."""
    unsettled = next((one.unsettled for one in found.hosts if one.unsettled is not None), None)
    failed = next((one.failed for one in found.hosts if one.failed is not None), None)
    one = unsettled or next(iter(found.half_back.values()), None)
    runs = open_runs(found, chain, ports.apply.plans.get)
    if one is None and runs:
        # Also where something failed before: nothing else is begun, nor gone on with, before that run has ended.
        return _between_hosts(site, found, runs[0], chain)
    one = one or failed or (_unproven(found.reached, chain) if name == "production" else None)
    if one is None:
        return None
    back = take_back_command(found, chain)
    away = in_the_way(runs, still_there(found))
    first = named_again(away, found.stack, name) if away is not None else None
    # Another machine under the same name knows nothing of that deployment, and can't take it back.
    lost = ", ".join(_abandoned(one.run, found, chain))
    gone = f"or, for good without {lost}: take it out of {name} in releases/{found.stack}.yml" if lost else ""
    if one.state in ("returning", "undone"):
        return f"{first or back}{f'    ({gone})' if gone else ''}"
    goes_on = next((_with_run(site, found, run) for run in runs if run.plan.plan == one.plan), None) or _by_plan(site, found, one.plan)
    told = f"it does not go back before this is ended: {first}" if first is not None else f"or take it back: {back}"
    return f"{goes_on}    ({'; '.join(filter(None, (told, gone)))})"


def _between_hosts(site: ReleaseSite, found: Deployed, run: OpenRun, chain: Sequence[Receipt]) -> str:
    """Return what goes on with a run that is open while none of its hosts is: it began none yet, waits with the next, or lacks its end alone."""
    if run.is_elsewhere:
        return _with_run(site, found, run)
    back = way_back_command(run.run, run.plan, chain)
    if any(one.run == run.run and one.state == "undone" for host in found.hosts for one in host.deployments):
        return back
    return f"{_with_run(site, found, run)}    (or take it back: {back})"


def _with_run(site: ReleaseSite, found: Deployed, run: OpenRun) -> str:
    """Return what goes on with a run that is open: its plan, once the environment has all of its hosts."""
    return named_again(run, found.stack, found.environment) if run.strange else _by_plan(site, found, run.plan.plan)


def _by_plan(site: ReleaseSite, found: Deployed, plan: str) -> str:
    verb = "promote" if found.environment == "production" else "stage"
    return f"controlplane release {verb} {shlex.quote(found.stack)} --plan {shlex.quote(kept_plan(site, plan))}"


def _abandoned(run: str, found: Deployed, chain: Sequence[Receipt]) -> tuple[str, ...]:
    """Return the hosts on which a run stands, or was begun, and it or its way back was closed before its end."""
    closed = {key for one in chain if one.phase == "result" and one.outcome == "interrupted" for key in (one.key, one.undoes)}
    mine = (one for host in found.hosts for one in host.deployments if one.run == run and one.state != "undone")
    return tuple(dict.fromkeys(one.host for one in mine if one.key in closed))


def _unproven(found: Deployed, chain: Sequence[Receipt]) -> Deployment | None:
    """Return what was brought last and was met by no smoke run since, or by a run that goes back; what came back is proven by the rollback itself.

    What was proven once is no such one: its plan is finished, and says no more. Where other hosts ran another release since, a smoke run is left.
    """
    if (failed := unconfirmed(found, chain)) is not None:
        return failed
    current = found.current
    brought = max((one.current.brought for one in found.hosts if one.current is not None), default=None)
    if current is None or brought is None or found.since != brought or proof_since(chain, found) is not None:
        return None
    once = first_proof(chain, found.stack, found.environment, since=brought.seq, manifest=current.manifest)
    return None if once is not None and once.passed else current


def _taken_back(found: Deployed) -> str | None:
    """Return the manifest of the newest deployment, where that was taken back."""
    newest = max((one for host in found.hosts for one in host.deployments), key=lambda one: one.begun_seq, default=None)
    return newest.manifest_name if newest is not None and newest.state == "undone" else None


def kept_plan(site: ReleaseSite, digest: str) -> str:
    """Return the file of a plan that was begun."""
    return f"{site.view.folder}/state/plans/{digest.removeprefix('sha256:')}.json"


def _back(site: ReleaseSite, stack: str, ports: ReleasePorts) -> str:
    return how_to_take_back(stack, "production", files=site.files, receipts=ports.apply.receipts, plans=ports.apply.plans)


def _next(stack: str, rows: Sequence[dict[str, Any]], back: Callable[[], str]) -> str:
    going_on = next((row["goes_on"] for row in rows if row["goes_on"]), None)
    if going_on is not None:
        return str(going_on)
    blind = [host["host"] for row in rows for host in row["hosts"] if host["verdict"] == "UNKNOWN"]
    if blind:
        return f"see why {', '.join(dict.fromkeys(blind))} could not be observed, then run this again"
    wrong = next(((row, host["went_back"]) for row in rows for host in row["hosts"] if host["verdict"] not in (None, "MET")), None)
    if wrong is not None:
        return _see_why(stack, *wrong)
    return _onward(stack, {row["environment"]: row for row in rows}, back)


def _see_why(stack: str, row: dict[str, Any], went_back: str | None) -> str:
    name = row["environment"]
    if went_back is None:
        return f"see why {name} does not run what was brought there; its hosts are named above"
    told = f"see why {name} is not as it was before {went_back}"
    # Where something stands a rollback would take that back.
    stands = any(host["brought"] is not None or host["open"] is not None for host in row["hosts"])
    return f"{told}; its hosts are named above" if stands else f"{told}, then: controlplane release rollback {shlex.quote(stack)} --env {name}"


def _onward(stack: str, by_name: Mapping[str, dict[str, Any]], back: Callable[[], str]) -> str:
    """Return what comes next where everything runs as it was brought; `back` gives the command that takes back what stands in production."""
    anew = f"controlplane release stage {stack} --manifest NAME --out FILE"
    staging, production = by_name.get("staging"), by_name.get("production")
    # In staging what not all hosts have is brought to all of them first.
    unproven = next((name for name, row in by_name.items() if row["unproven"] and (row["manifest"] or name == "production")), None)
    told = f'controlplane release close {stack} --env {"production" if production is not None else "staging"} --attest "..."'
    if staging is not None and staging["manifest"] is None:
        told = anew
    elif unproven is not None:
        told = f"controlplane release smoke {stack} --env {unproven}"
    elif staging is not None and not staging["proof"]["passed"]:
        told = f"{anew}    (what staging runs did not prove itself)"
    elif production is not None and staging is not None and production["manifest"] != staging["manifest"]:
        was_back = production["taken_back"] == staging["manifest"]
        told = f"{anew}    (what staging runs was taken back from production)" if was_back else f"controlplane release promote {stack} --dry-run"
    elif production is not None and production["proof"] is not None and not production["proof"]["passed"]:
        told = f"{back()} --dry-run"
    return told
