"""Run one playbook through ansible-runner; the only importer of ansible_runner.

Rules:
- Each run gets a fresh private folder (mode 0700) that is gone afterwards: nothing of an earlier run sticks, and no artifact keeps an environment.
- The environment of ansible-playbook is made here (see `ansible_project`), not inherited.
- Interrupting or timing out ends what runs before this returns: SIGTERM to ansible-playbook, waiting for all that descends from it, SIGKILL last.
  If something is left even then, the result says so, and no lock may be released.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from controlplane.adapters.ansible_project import configuration, control_directory, environment
from controlplane.adapters.known_hosts import ssh_options
from controlplane.adapters.process_tree import ProcessTree, children_with
from controlplane.domain.values import Value

Event = Mapping[str, Any]
GRACE = 15.0
_POLL = 0.3
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RunResult(Value):
    """How a playbook ended. `unreachable` and `failed` give each such host's message; `said` is the last that Ansible printed.

    `left_running` is true when not everything could be ended.
    """

    outcome: Literal["done", "failed", "interrupted", "timeout"]
    rc: int
    unreachable: dict[str, str]
    failed: dict[str, str]
    said: str
    left_running: bool = False


class _Watch:
    """Hears events, remembers what failed, and decides when the run has to end."""

    def __init__(self, on_event: Callable[[Event], None], mark: str, ends: float) -> None:
        self.unreachable: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.said: deque[str] = deque(maxlen=40)
        self.stop: Literal["interrupted", "timeout"] | None = None
        self.error: BaseException | None = None
        self.left_running = False
        self._failed_items: dict[str, list[str]] = {}
        self._on_event = on_event
        self._mark = mark
        self._ends = ends
        self._ended = False

    def hear(self, event: dict[str, Any]) -> bool:
        """Take one event; False keeps ansible-runner from writing it to a file."""
        data = event.get("event_data") or {}
        kind, host, result = event.get("event"), data.get("host"), data.get("res") or {}
        if event.get("stdout"):
            self.said.append(str(event["stdout"])[-2000:])
        if kind == "runner_on_start" and host:
            self._failed_items[host] = []
        elif kind == "runner_item_on_failed" and host and "censored" not in result:
            # A loop says of itself only that something failed; which of its results did, core 2.21 doesn't show there.
            self._failed_items.setdefault(host, []).append(f"{result.get('_ansible_item_label') or result.get('item')}: {_message(result)}")
        elif kind == "runner_on_unreachable" and host:
            self.unreachable[host] = _message(result)
        elif kind == "runner_on_failed" and host and not data.get("ignore_errors"):
            why = "; ".join(self._failed_items.get(host, []))[:2000] or _message(result)
            self.failed[host] = f"{data.get('task', 'a task')}: {why}"
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - a listener's bug must not leave Ansible running; it is raised once that has ended
            self.error, self.stop = error, "interrupted"
        return False

    def must_end(self) -> bool:
        """Say whether ansible-runner is to give up; by then everything has been ended."""
        if self.stop is None and time.monotonic() > self._ends:
            self.stop = "timeout"
        if self.stop is None:
            return False
        if not self._ended:
            self._ended = True
            self.left_running = not ProcessTree(children_with(self._mark)).end(grace=GRACE)
        return True


def _message(result: Mapping[str, Any]) -> str:
    parts = [str(result.get(key) or "").strip() for key in ("msg", "module_stderr", "stderr", "stdout")]
    text = ": ".join(dict.fromkeys(part for part in parts if part and "controlplane-evidence" not in part))
    return text[:2000] or "Ansible gave no reason"


@contextlib.contextmanager
def _asked_to_stop(watch: _Watch) -> Iterator[None]:
    """Turn the operator's signals into an orderly end; outside of the main thread they are the caller's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        watch.stop = watch.stop or "interrupted"

    # Under nohup a closed terminal ends nothing.
    taken = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_playbook(
    project: Mapping[str, bytes],
    *,
    playbook: str,
    inventory: bytes,
    limit: str | None = None,
    env: Mapping[str, str] | None = None,
    forks: int = 10,
    only_looks: bool = False,
    check: bool = False,
    on_event: Callable[[Event], None] = lambda _event: None,
    timeout: float = 3600,
    work_dir: Path | None = None,
    known_hosts: Path | None = None,
) -> RunResult:
    """Run `playbook` of `project` (files by path) on the hosts of `inventory` (JSON, see `inventory_json`).

    `only_looks` is for what changes nothing, and may be tried again; `check` is Ansible's check mode. `env` is added to the environment of
    ansible-playbook and may hold secrets; it is in no file. `timeout` in seconds. `work_dir` is where the private folder is made.
    `known_hosts` is a file with host keys that count beside those that the operator knows.
    """
    private = Path(tempfile.mkdtemp(prefix="cp-", dir=work_dir))
    watch = _Watch(on_event, str(private), time.monotonic() + timeout)
    try:
        # Getting ready takes a second or more; who interrupts that long is told the same as one who interrupts the play.
        with _asked_to_stop(watch):
            config_file = private / "ansible.cfg"
            known = ssh_options(known_hosts)
            config_file.write_bytes(
                configuration(only_looks=only_looks, control_dir=control_directory(), local_tmp=private / "tmp", ssh_options=known)
            )
            mine = environment({"ANSIBLE_CONFIG": str(config_file), **(env or {})})
            config = _prepared(private, project, playbook=playbook, inventory=inventory, limit=limit, env=mine, forks=forks, check=check)
            return _run(config, watch)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{name} leaves the project folder")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(content)
        path.chmod(0o700 if content.startswith(b"#!") else 0o600)


def _prepared(
    private: Path,
    project: Mapping[str, bytes],
    *,
    playbook: str,
    inventory: bytes,
    limit: str | None,
    env: Mapping[str, str],
    forks: int,
    check: bool,
) -> Any:
    from ansible_runner import RunnerConfig  # noqa: PLC0415 - half a second that a verb which runs nothing need not pay

    _write(private / "project", project)
    _write(private / "inventory", {"hosts.json": inventory})
    config = RunnerConfig(
        private_data_dir=str(private),
        playbook=playbook,
        inventory=str(private / "inventory" / "hosts.json"),
        limit=limit,
        forks=forks,
        cmdline="--check" if check else None,
        ident="run",
        envvars=env,
        suppress_env_files=True,
    )
    config.prepare()
    # `settings=` is dropped where there is no file of settings, so these are set where it would have put them.
    config.pexpect_timeout, config.suppress_ansible_output, config.suppress_output_file = _POLL, True, True
    # It starts from the whole environment of the caller; what stays is ours and what it added itself.
    config.env = {name: value for name, value in config.env.items() if name in env or _added_by_runner(name)}
    config.command[0] = shutil.which("ansible-playbook", path=env["PATH"]) or config.command[0]
    return config


def _run(config: Any, watch: _Watch) -> RunResult:
    from ansible_runner import Runner  # noqa: PLC0415 - as above

    runner = Runner(config, event_handler=watch.hear, cancel_callback=watch.must_end, remove_partials=True)
    # Written before the start and never read again: it holds the whole environment.
    runner.status_handler = lambda _status, runner_config: Path(runner_config.artifact_dir, "command").unlink(missing_ok=True)
    if watch.stop is not None:
        return _result(watch, rc=-1)
    try:
        _, rc = runner.run()
    except BaseException:
        watch.stop = watch.stop or "interrupted"
        watch.must_end()
        raise
    if watch.error is not None:
        raise watch.error
    return _result(watch, rc=rc)


def _result(watch: _Watch, *, rc: int) -> RunResult:
    return RunResult(
        outcome=watch.stop or ("done" if rc == 0 else "failed"),
        rc=rc,
        unreachable=watch.unreachable,
        failed=watch.failed,
        said="\n".join(watch.said)[-4000:],
        left_running=watch.left_running,
    )


def _added_by_runner(name: str) -> bool:
    return name in ("AWX_ISOLATED_DATA_DIR", "PYTHONPATH") or name.startswith(
        ("RUNNER_", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_RETRY")
    )
