"""Run one rendered step through ansible-runner and tell how it ended in words that a person can use.

Rules:
- Interrupted means stopped: what the step left working on the host as a unit of its own is stopped too, and the message says where that ended.
- It is stopped under the lease that this step's play took, or, before that, under one that is taken as a resumed run takes it: where another
  controller went on with the run, its work goes on.
- Where this is interrupted as well, or the host isn't reached, work may go on there by itself, and then the message says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from controlplane.adapters.ansible_project import control_directory, inventory_json
from controlplane.adapters.proxmox_api import ApiError
from controlplane.adapters.runner import Event, run_playbook
from controlplane.adapters.service_secrets import Told, in_memory
from controlplane.domain.inventory import InventoryHost, route_here, works_here
from controlplane.ports.plays import StepResult
from controlplane.render.project import render_cancel

# A data root of terabytes takes hours to copy; the transient unit on the target has limits of its own.
_LIMIT_S = 24 * 3600
# What only looks and asks; a registry may take its time.
_DRY_LIMIT_S = 900
# A unit may have to copy newer data back before it can end.
_CANCEL_LIMIT_S = 1800
# The variables by which roles find what only the controller knows.
_PASSWORDS = ("redis_aof_told", "persistent_paths_told", "compose_stack_told")


class StepRunner:
    """Runs projects over the routes of one site. `holder` is who takes the leases ("user@controller").

    `env_here` gives the environment of steps that work on the controller itself, by the name that it has in them; it raises `ApiError`. `told` gives
    the passwords of a host's services that only the controller knows; they lie in memory that has a name while a step runs.
    """

    def __init__(
        self,
        routes: Sequence[InventoryHost],
        *,
        holder: str,
        env: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
        known_hosts: Path | None = None,
        env_here: Callable[[str], Mapping[str, str]] = lambda _name: {},
        told: Callable[[str], Told] = lambda _name: {},
    ) -> None:
        self._routes = {route.name: route for route in routes}
        self._holder = holder
        self._env = dict(env or {})
        self._work_dir = work_dir
        self._known_hosts = known_hosts
        self._env_here = env_here
        self._passwords = told

    def run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:
        """Run `playbook` of `project` on `host`; `progress` hears each task's name."""
        return self._run(project, key=key, host=host, playbook=playbook, progress=progress, check=False)

    def dry_run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:
        """Do the same in check mode: no lease is taken, and what the tools need lies in the host's memory alone."""
        return self._run(project, key=key, host=host, playbook=playbook, progress=progress, check=True)

    def _run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None], check: bool) -> StepResult:
        told: dict[str, Any] = {"run": key}
        limit_s = _DRY_LIMIT_S if check else _LIMIT_S
        lease: dict[str, Any] = {}
        here = works_here(host)
        try:
            env = {**self._env, **(self._env_here(host) if here else {})}
        except ApiError as error:
            return StepResult(status="failed", message=f"{error}. Nothing was changed.", told=told)

        def hear(event: Event) -> None:
            data = event.get("event_data") or {}
            if event.get("event") == "playbook_on_task_start":
                progress(f"  {data.get('name', '')}")
            elif event.get("event") in ("runner_on_ok", "runner_on_failed"):
                told.update(_told(data.get("res") or {}, is_dry=check))
                lease.update(_taken(data.get("res") or {}, key))

        with in_memory({host: {} if here else self._passwords(host)}) as places:
            variables = {host: dict.fromkeys(_PASSWORDS, places[host])} if host in places else {}
            result = run_playbook(
                project,
                playbook=playbook,
                inventory=inventory_json([route_here(host) if here else self._routes[host]], variables=variables, control_dir=control_directory()),
                env=env,
                forks=1,
                check=check,
                on_event=hear,
                timeout=limit_s,
                work_dir=self._work_dir,
                known_hosts=self._known_hosts,
            )
        # Nothing of a step goes on by itself on the controller: what descends from ansible-playbook has been ended, and an API's tasks are its own.
        works = not (here or check) and any(path.startswith("roles/") for path in project)
        if result.outcome == "interrupted":
            left = "Something of it could not be ended: look for ansible-playbook before you go on." if result.left_running else ""
            stopped, said = self._stopped(key, host, lease, progress) if works and not left else (True, "")
            words = ["interrupted; what ran was stopped first." if stopped else "interrupted.", left, said]
            return StepResult(status="interrupted", message=" ".join(filter(None, words)), told=told)
        if result.outcome == "done" and not result.unreachable:
            return StepResult(status="done", message="", told=told)
        if host in result.unreachable:
            return StepResult(status="unreachable", message=result.unreachable[host], told=told)
        if result.outcome == "timeout":
            limit = f"{limit_s // 3600} hours" if limit_s >= 3600 else f"{limit_s // 60} minutes"
            return StepResult(status="failed", message=f"it took longer than {limit}", told=told)
        return StepResult(status="failed", message=result.failed.get(host) or result.said[-800:] or "Ansible gave no reason", told=told)

    def _stopped(self, key: str, host: str, lease: Mapping[str, Any], progress: Callable[[str], None]) -> tuple[bool, str]:
        try:
            return self._cancel(key, host, lease, progress)
        except KeyboardInterrupt:
            return False, _goes_on(host)

    def _cancel(self, key: str, host: str, lease: Mapping[str, Any], progress: Callable[[str], None]) -> tuple[bool, str]:
        """Stop what the run left working on the host. `lease` is what the play took.

        Return whether it surely was stopped, and what became of it, '' where nothing worked there.
        """
        progress(f"{host}: stopping what works there (once more Ctrl-C leaves it to itself)")
        last: dict[str, Any] = {}

        def hear(event: Event) -> None:
            data = event.get("event_data") or {}
            if event.get("event") == "runner_on_ok":
                last.update(_journal(data.get("res") or {}))

        result = run_playbook(
            render_cancel(self._routes[host], key=key, holder=self._holder, token=lease.get("token")),
            playbook="site.yml",
            inventory=inventory_json([self._routes[host]], variables={}, control_dir=control_directory()),
            env=self._env,
            forks=1,
            on_event=hear,
            timeout=_CANCEL_LIMIT_S,
            work_dir=self._work_dir,
            known_hosts=self._known_hosts,
        )
        if result.outcome != "done":
            return False, _goes_on(host)
        message = last.get("message") or (last.get("outcome") or {}).get("message")
        if left := last.get("left"):
            return False, f"On {host} {left} goes on to its end, and the lease stays until then: 'controlplane lease show {host}' tells more."
        return True, f"On {host}: {message}" if message else ""


def _goes_on(host: str) -> str:
    return f"On {host} long work may go on by itself: 'systemctl list-units controlplane-*' shows it there."


def _journal(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a tool on the host said, {} where it said something else: its verb's answer, or JSON that a plain command printed."""
    data = result.get("answer")
    if data is None:
        try:
            data = json.loads(result.get("stdout") or "{}")
        except (TypeError, ValueError):
            return {}
    return data if isinstance(data, dict) else {}


def _taken(result: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the run's lease, where the task's result is one that was taken."""
    lease = _journal(result).get("lease")
    return lease if isinstance(lease, dict) and lease.get("run") == key else {}


def _told(result: Mapping[str, Any], *, is_dry: bool) -> dict[str, Any]:
    """Return what a role's tool reported, where the task's result carries such; of a dry run also how a tool that refused ended, and its doubts."""
    data = _journal(result)
    found = {name: data[name] for name in ("downtime_s", "told", *(("doubts",) if is_dry else ())) if name in data}
    if is_dry and "answer" in result and result.get("rc") not in (None, 0):
        found["rc"] = result["rc"]
    return found
