"""Run a verb of the run's own tool on the target: one command, one round trip.

Rules:
- What is asked goes over standard input, as JSON: no argument holds it, and nothing is copied to the target for it. So do passwords.
- A verb that changes the host works under the lease that this play took, and only as long as somebody reads its answer (`connection.py` there).
- In a dry run such a verb is told `--check`, and shows what it would do.
- The last one that looks may give the lease back in the same breath: the role's `release` then finds its run and token among the facts, and asks nobody.
- A verb that says no, or fails, fails the task with its own words.
"""

from __future__ import annotations

import json
import shlex
import zlib
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.action import ActionBase

_ARGUMENTS = {
    "words": {"type": "list", "elements": "str", "required": True},
    "request": {"type": "dict"},
    "changes": {"type": "bool", "default": False},
    "releases": {"type": "bool", "default": False},
    "told": {"type": "path"},
    "lay_down": {
        "type": "dict",
        "options": {"program": {"type": "str"}, "folder": {"type": "path"}, "files": {"type": "dict"}, "yaml": {"type": "bool", "default": False}},
    },
    "command": {"type": "list", "elements": "str"},
}
_YAML = ("error", "tokens", "events", "nodes", "reader", "scanner", "parser", "composer", "resolver")
_NO_LEASE = "This play took no lease, so it changes nothing. Nothing was changed. Its first role has to be target_run."
# What is laid down comes first, and then goes on in the process that did it, which Python was started for as for the tool itself.
_PACKAGE = "controlplane_target"
_LAY_DOWN = "import json,sys,zlib; told = json.loads(zlib.decompress(sys.stdin.buffer.read())); exec(told['program'])"


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """The action `target_run_tool`; library/target_run_tool.py describes its arguments and what it returns."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(argument_spec=_ARGUMENTS)
        if against := self._no_input():
            return {**result, "failed": True, "changed": False, "rc": None, "answer": {}, "msg": f"{against}. Nothing was changed."}
        tool = (task_vars or {}).get("__target_run_tool")
        if tool is None and not arguments["command"]:
            return {**result, "failed": True, "changed": False, "rc": None, "answer": {}, "msg": _NO_LEASE}
        argv = [*(arguments["command"] or tool["command"]), *arguments["words"]]
        if tool is not None and not arguments["command"]:
            argv += self._carried(tool, changes=arguments["changes"], releases=arguments["releases"])
        told = _asked(_with_told(arguments["request"], arguments["told"], (task_vars or {}).get("inventory_hostname")))
        if arguments["lay_down"]:
            down = arguments["lay_down"]
            at = next(number for number, word in enumerate(argv) if Path(word).name == _PACKAGE)
            argv = [*argv[:at], "-c", _LAY_DOWN, *argv[at + 1 :]]
            files = {**down["files"], **(_yaml() if down["yaml"] else {})}
            told = zlib.compress(json.dumps({"program": down["program"], "folder": down["folder"], "files": files}).encode())
        said = self._answered(self._low_level_execute_command(shlex.join(argv), in_data=told))
        if tool is not None and said["answer"].get("released") is True:
            said["ansible_facts"] = {"target_run_released": [tool["run"], tool["claim"][-1]]}
        return {**result, **said}

    def _no_input(self) -> str:
        """Return why a command can't be given input here, empty where it can."""
        if not self._connection.has_pipelining:
            return f"the connection {self._connection.transport} takes no input for a command: use ssh or local"
        become = self._connection.become
        if become is not None and (not getattr(become, "pipelining", True) or getattr(become, "require_tty", False)):
            return f"the become method {become.name} takes no input for a command: use sudo"
        if self._connection.transport == "local":
            # Otherwise it gives a command that may ask for a password a terminal, and our input to nobody.
            self._connection.set_option("pipelining", True)
        return ""

    def _carried(self, tool: dict[str, Any], *, changes: bool, releases: bool) -> list[str]:
        if changes and self._task.check_mode:
            return ["--run", tool["run"], "--check"]
        how = ["--hold"] if changes else ["--release"] if releases and not self._task.check_mode else []
        return ["--run", tool["run"], *tool["claim"], *how]

    def _answered(self, done: dict[str, Any]) -> dict[str, Any]:
        answer = _last_answer(done.get("stdout", ""))
        is_answered, answer = answer is not None, answer or {}
        said = {"rc": done.get("rc"), "stderr": done.get("stderr", ""), "changed": bool(answer.get("changed")), "answer": answer}
        diff = answer.pop("diff", None)
        if diff is not None and self._task.diff:
            said["diff"] = diff
        if done.get("rc") != 0 or not is_answered:
            words = [str(done.get(name) or "").strip() for name in ("stderr", "stdout", "msg")]
            reason = answer.get("message") or next(filter(None, words), "") or f"the tool ended with {done.get('rc')} and no word"
            said.update(failed=True, changed=False, msg=reason)
        return said


def _last_answer(printed: str) -> dict[str, Any] | None:
    """Return the last line that is an object of JSON: what a profile or a banner prints stands around it. None where there is none."""
    for line in reversed(printed.split("\n")):
        if line.startswith("{"):
            try:
                answer = json.loads(line)
            except ValueError:
                continue
            return dict(answer)
    return None


def _with_told(request: Any, path: str | None, host: str | None) -> Any:
    """Return the request with what only the controller knows, read where Ansible runs: no argument, variable or result holds it."""
    return {**(request or {}), "told": json.loads(Path(path).read_bytes()).get(host) or {}} if path else request


def _yaml() -> dict[str, str]:
    """Return what of PyYAML reads a text as nodes that know where they stand: pure Python, as Ansible itself has it."""
    folder = Path(yaml.__file__).parent
    return {"yaml/__init__.py": "", **{f"yaml/{name}.py": (folder / f"{name}.py").read_text("utf-8") for name in _YAML}}


def _asked(request: Any) -> bytes:
    # Without any input Ansible would give it a terminal, in which answers and errors are one.
    return b"\n" if request is None else json.dumps(request).encode()
