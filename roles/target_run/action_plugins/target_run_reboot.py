"""Ansible's `reboot` for hosts that are known to run systemd: nothing is gathered from the host before, and it is asked for each second afterwards.

Its own way to the distribution's name is the module `setup`, and its waits double up to 12 seconds. What it takes, checks and returns is Ansible's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action.reboot import ActionModule as Reboot
from ansible.plugins.action.reboot import TimedOutException


class ActionModule(Reboot):  # type: ignore[misc] # Ansible has no types
    """The action `target_run_reboot`; arguments as of ansible.builtin.reboot."""

    def get_distribution(self, task_vars: dict[str, Any]) -> dict[str, str]:
        """Return what the shutdown command and the boot id's file are chosen by; both are those of any Linux."""
        del task_vars
        return {"name": "linux", "version": "", "family": "linux"}

    def do_until_success_or_timeout(
        self, action: Callable[..., Any], reboot_timeout: float, action_desc: str, distribution: dict[str, str], action_kwargs: Any = None
    ) -> None:
        """Do it until it succeeds. Raises TimedOutException with the last reason."""
        end = time.monotonic() + reboot_timeout
        while True:
            try:
                action(distribution=distribution, **(action_kwargs or {}))
            # Whatever a machine that goes down or comes up answers.
            except Exception as error:
                # The socket of a connection to what went down would be asked for ever.
                with suppress(AnsibleConnectionFailure):
                    self._connection.reset()
                if time.monotonic() >= end:
                    raise TimedOutException(f"Timed out waiting for {action_desc} (timeout={reboot_timeout}): {error}") from error
                time.sleep(1)
            else:
                return
