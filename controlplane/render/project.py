"""Plan -> a whole Ansible project as {path: bytes}, which plain `ansible-playbook` runs without this program.

Rules:
- One play a step, in the plan's order, on that step's host only; its variables are data, every string tagged `!unsafe`.
- The roles take the target's lease, check it and release it themselves, with the token that the play got; what works through an API has none to take.
- Nothing is templated as text: what comes from policy or inventory is dumped, what is fixed is written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.domain.inventory import InventoryHost, works_here
from controlplane.domain.plan import Plan, Step
from controlplane.render.unsafe_yaml import dump_unsafe

LEASE_SECONDS = 1800

# As long as a reboot itself may take.
_START_LIMIT_S = 300
_CFG = b"""[defaults]
inventory = inventory/hosts.yml
roles_path = roles
host_key_checking = True
retry_files_enabled = False
gathering = explicit
# A role's failure belongs to the person who reads it: the whole message, readable.
callback_result_format = yaml
interpreter_python = /usr/bin/python3

[ssh_connection]
# With pipelining on, a module outlives the loss of its connection. What only looks switches it on for itself.
pipelining = False
"""


def inventory_file(hosts: Sequence[InventoryHost]) -> bytes:
    """Return an inventory of just these hosts."""
    return dump_unsafe({"all": {"hosts": {host.name: dict(host.variables) for host in hosts}}})


def render_steps(
    steps: Sequence[Step],
    *,
    keys: Mapping[str, str],
    holder: str,
    hosts: Sequence[InventoryHost],
    roles: Mapping[str, bytes],
    undoes: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """Return the project that runs `steps`, or with `undoes` (step id -> run key) the one that rolls them back.

    `keys` gives each step its run key, `holder` is who takes the lease ("user@controller"), `roles` the role files by path.
    """
    touched = {step.target for step in steps}
    project = {
        "ansible.cfg": _CFG,
        "inventory/hosts.yml": inventory_file([host for host in hosts if host.name in touched]),
        "site.yml": _playbook([_play(step, undo=undoes is not None) for step in steps]),
    }
    for step in steps:
        variables = {
            **step.variables,
            f"{step.role}_run": keys[step.id],
            "target_run_key": keys[step.id],
            "target_run_role": step.role,
            "target_run_holder": holder,
            "target_run_ttl_s": LEASE_SECONDS,
            "target_run_ends_with_role": True,
        }
        if undoes is not None:
            variables[f"{step.role}_rollback_of"] = undoes[step.id]
            # What was killed may still hold the lease; whoever takes it back need not wait for that.
            variables["target_run_take_over"] = undoes[step.id]
        project[_variables_path(step)] = dump_unsafe(variables)
    project.update({f"roles/{path}": content for path, content in roles.items()})
    return project


def render_plan(plan: Plan, *, keys: Mapping[str, str], holder: str, hosts: Sequence[InventoryHost], roles: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the plan as a project with a README that tells how to run it."""
    project = render_steps(plan.steps, keys=keys, holder=holder, hosts=hosts, roles=roles)
    rows = [f"{step.id}  {step.capability}  {keys[step.id]}" for step in plan.steps]
    needs = ["Export PROXMOX_TOKEN_SECRET, the token's secret, and REQUESTS_CA_BUNDLE, the file of the API's CA.", ""]
    here = needs if any(works_here(step.target) for step in plan.steps) else []
    text = "\n".join(["Rendered from plan", plan.plan, "", "Run it here:  ansible-playbook site.yml", *here, "", *rows, ""])
    project["README"] = text.encode()
    return project


def render_reboot(hosts: Sequence[InventoryHost], *, roles: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the project that reboots these hosts and waits until they answer again and have started what they start at boot.

    sshd answers before Docker has started its containers: judged then, a healthy host would drift. What never comes up is for the judgement to tell.
    """
    reboot = {
        "reboot_command": "/sbin/shutdown -r now 'Reboot by controlplane'",
        "reboot_timeout": 300,
        "connect_timeout": 5,
        "post_reboot_delay": 1,
    }
    started = {
        "name": "Wait for what starts at boot",
        "ansible.builtin.raw": f"timeout {_START_LIMIT_S} systemctl is-system-running --wait",
        "changed_when": False,
        "failed_when": False,
    }
    play = {
        "name": "Reboot and wait",
        "hosts": "all",
        "gather_facts": False,
        "become": True,
        "tasks": [{"name": "Reboot", "target_run_reboot": reboot}, started],
    }
    plugin = "action_plugins/target_run_reboot.py"
    return {"ansible.cfg": _CFG, "inventory/hosts.yml": inventory_file(hosts), "site.yml": _playbook([play]), plugin: roles[f"target_run/{plugin}"]}


def render_take_over(host: InventoryHost, *, key: str, of: str, holder: str, roles: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the project that takes the lease of run `of` over, so that its old token is refused, and gives it back at once."""
    variables = {
        "target_run_key": key,
        "target_run_role": "target_run",
        "target_run_holder": holder,
        "target_run_ttl_s": 60,
        "target_run_take_over": of,
    }
    play = {
        "name": f"Take over the lease of {host.name}",
        "hosts": host.name,
        "gather_facts": False,
        "become": True,
        "vars_files": ["vars/lease.yml"],
        "tasks": [
            {"name": "Take the lease", "ansible.builtin.include_role": {"name": "target_run"}},
            {"name": "Release the lease", "ansible.builtin.include_role": {"name": "target_run", "tasks_from": "release"}},
        ],
    }
    project = {
        "ansible.cfg": _CFG,
        "inventory/hosts.yml": inventory_file([host]),
        "site.yml": _playbook([play]),
        "vars/lease.yml": dump_unsafe(variables),
    }
    project.update({f"roles/{path}": content for path, content in roles.items() if path.startswith("target_run/")})
    return project


def render_cancel(host: InventoryHost, *, key: str, holder: str, token: int | None) -> dict[str, bytes]:
    """Return the project that stops what the run `key` left working on the host and gives its lease back; the last task's output is its journal.

    A unit that is told to stop goes to one side before it ends, or ends what can't be stopped any more. It is stopped under the lease that was taken
    with `token`; None stands for a play that had not come to that, and then the lease of what an earlier attempt of the run left is taken, as by a
    resumed run. Where another controller holds it, nothing is stopped, and a task's output says whose it is.
    """
    tool = ["{{ ansible_python_interpreter | default('/usr/bin/python3') }}", "-B", f"/var/lib/controlplane/{key}/controlplane_target"]
    journal = {"ansible.builtin.command": {"argv": [*tool, "state", "--run", key]}, "changed_when": False}
    who, quiet = ["--run", key, "--holder", "{{ cancel_holder }}"], {"changed_when": False, "failed_when": False}
    claim = [*who, "--token", "{{ cancel_token }}" if token is None else str(token)]
    taking = {
        "name": "cancel | Take the lease of what an earlier attempt left",
        "ansible.builtin.command": {"argv": [*tool, "lease", "take", *who, "--role", "{{ (__cancel_state.stdout | from_json).role }}"]},
        "register": "__cancel_taken",
        "when": ["__cancel_state.rc == 0", "(__cancel_state.stdout | from_json).token | default(0) > 0"],
        **quiet,
    }
    tasks = [
        {"name": "cancel | Read what works there", **journal, "register": "__cancel_state", "failed_when": False},
        *([taking] if token is None else []),
        {
            "name": "cancel | Stop it, and wait until it has ended",
            "ansible.builtin.command": {
                "argv": [*tool, "lease", "hold", *claim, "--", "systemctl", "stop", "{{ (__cancel_state.stdout | from_json).unit }}"]
            },
            "when": ["__cancel_state.rc == 0", "(__cancel_state.stdout | from_json).unit | default('', true) != ''"],
            **quiet,
        },
        {
            "name": "cancel | Give the lease back",
            "ansible.builtin.command": {"argv": [*tool, "lease", "release", *claim]},
            "when": "__cancel_state.rc == 0",
            **quiet,
        },
        {"name": "cancel | Read what became of it", **journal, "when": "__cancel_state.rc == 0"},
    ]
    taken = "{{ ((__cancel_taken.stdout | default('{}', true) | from_json).lease | default({})).token | default(0) }}"
    play = {
        "name": f"Cancel {key}",
        "hosts": host.name,
        "gather_facts": False,
        "become": True,
        "vars": {"cancel_token": taken},
        "vars_files": ["vars/cancel.yml"],
        "tasks": tasks,
    }
    return {
        "ansible.cfg": _CFG,
        "inventory/hosts.yml": inventory_file([host]),
        "site.yml": _playbook([play]),
        "vars/cancel.yml": dump_unsafe({"cancel_holder": holder}),
    }


def _variables_path(step: Step) -> str:
    return f"vars/{step.id.replace('/', '-')}.yml"


def _play_here(step: Step, *, undo: bool) -> dict[str, Any]:
    """Return the play of a step that works through an API: as the operator, with the Python that runs Ansible, and without a target's lease.

    There is no target that could keep a lease. The role takes nothing that the API does not give to one caller only.
    """
    role = {"name": step.role, "tasks_from": "api_rollback" if undo else "api"}
    return {
        "name": f"{step.id} {step.capability}{' | roll back' if undo else ''}",
        "hosts": step.target,
        "connection": "local",
        "gather_facts": False,
        "become": False,
        "any_errors_fatal": True,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "vars_files": [_variables_path(step)],
        "tasks": [{"name": "Run the step", "block": [{"name": f"Include {step.role}", "ansible.builtin.include_role": role}]}],
    }


def _play(step: Step, *, undo: bool) -> dict[str, Any]:
    if works_here(step.target):
        return _play_here(step, undo=undo)
    role = {"name": step.role, "tasks_from": "rollback"} if undo else {"name": step.role}
    return {
        "name": f"{step.id} {step.capability}{' | roll back' if undo else ''}",
        "hosts": step.target,
        "gather_facts": False,
        "become": True,
        "any_errors_fatal": True,
        "vars_files": [_variables_path(step)],
        "tasks": [
            {"name": "Take the lease and lay down the run's tools", "ansible.builtin.include_role": {"name": "target_run"}},
            {
                "name": "Run the step",
                "block": [{"name": f"Include {step.role}", "ansible.builtin.include_role": role}],
                "always": [
                    {"name": "Release the lease", "ansible.builtin.include_role": {"name": "target_run", "tasks_from": "release"}},
                ],
            },
        ],
    }


def _playbook(plays: list[dict[str, Any]]) -> bytes:
    # JSON is YAML; names and paths here come from the program's own vocabulary and checked host names.

    return (json.dumps(plays, indent=2) + "\n").encode()
