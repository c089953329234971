"""Ansible's action `look`: one command, as with `raw`, and what it is told over its standard input. It travels with the play.

Rules:
- What is told is read where the connection is made, from memory of the process that started Ansible: no argument, variable or result holds it.
- A host that is told nothing gets a command without input, which may have a terminal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """Run `command`; `told` is where {host: what it is told} is read, or empty."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        told = None
        if self._task.args["told"]:
            every = json.loads(Path(self._task.args["told"]).read_bytes())
            # One line: the other side need not wait for the end of its input.
            told = json.dumps(every[(task_vars or {})["inventory_hostname"]]).encode() + b"\n"
        result.update(self._low_level_execute_command(self._task.args["command"], in_data=told))
        if result.get("rc") != 0:
            result.update(failed=True, msg="non-zero return code")
        return result
