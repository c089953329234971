"""Read Proxmox VE's API for the modules of this role: what a machine is, whether something works on it, what its guest says.

Rules:
- The token's secret comes from the environment, the certificate is checked against the CA that is named there, and nothing is changed from here.
- 'Not there' is only what the API itself says in so many words. Anything else that is no answer is asked again, then it is a failure.
- What is locked is waited for as long as a task works on it; a lock that no task holds is for a person to look at.
"""

from __future__ import annotations

import os
import time
from urllib.parse import urlsplit

SECRET = "PROXMOX_TOKEN_SECRET"  # noqa: S105 - the name of the variable
_PORT = 8006
_CALL_S = 20
_TRIES = 4
_PAUSE_S = 1
# Between the end of a task and that of its lock, and between the lock and the task's entry in the list.
_LOOKS_WITHOUT_A_TASK = 5


class ProxmoxError(Exception):
    """The API gave no answer that can be used; the message says why."""


class Node:
    """One node of one cluster, asked as the operator's token."""

    def __init__(self, hypervisor, environment=os.environ):
        """Connect; nothing is asked yet."""
        try:
            from proxmoxer import ProxmoxAPI  # noqa: PLC0415 - an extra of the program
        except ImportError:
            raise ProxmoxError("the libraries for Proxmox VE are not installed here: pip install 'controlplane[proxmox]'") from None
        if not environment.get(SECRET):
            raise ProxmoxError(f"the environment has no {SECRET}: it has to hold the secret of token {hypervisor['token_id']}")
        place, (user, _, token) = urlsplit(hypervisor["api"]), hypervisor["token_id"].partition("!")
        self.node, self.user = hypervisor["node"], hypervisor["token_id"]
        self._api = ProxmoxAPI(
            place.hostname,
            port=place.port or _PORT,
            user=user,
            token_name=token,
            token_value=environment[SECRET],
            verify_ssl=environment.get("REQUESTS_CA_BUNDLE") or True,
            timeout=_CALL_S,
        )

    def read(self, *path, **given):
        """Return what a GET answers, None where the API says that there is no such thing."""
        from proxmoxer import ResourceException  # noqa: PLC0415 - as above
        from requests.exceptions import RequestException, SSLError  # noqa: PLC0415

        place = self._api
        for part in path:
            place = place(part)
        for attempt in range(_TRIES):
            try:
                return place.get(**given)
            except SSLError as error:
                raise ProxmoxError(f"the API's certificate is not trusted: {error}") from None
            except ResourceException as error:
                told = f"{error.status_code} {error.content or error.status_message}"
                if error.status_code == 500 and "does not exist" in told:
                    return None
                if error.status_code < 500 or "uest agent" in told or "is not running" in told:
                    raise ProxmoxError(told) from None
            except (RequestException, OSError) as error:
                told = type(error).__name__
            if attempt + 1 < _TRIES:
                time.sleep(_PAUSE_S)
        raise ProxmoxError(f"the API gave no answer in {_TRIES} attempts: {told}")

    def machines(self):
        """Return every machine of the cluster that the token may see."""
        return self.read("cluster", "resources", type="vm")

    def config(self, number):
        """Return a machine's configuration as it is in effect, None without such a machine."""
        return self.read("nodes", self.node, "qemu", number, "config", current=1)

    def is_running(self, number):
        """Say whether a machine runs."""
        status = self.read("nodes", self.node, "qemu", number, "status", "current")
        return status is not None and status["status"] == "running"

    def working(self, number):
        """Return the kinds of the tasks that work on a machine now."""
        return [row["type"] for row in self.read("nodes", self.node, "tasks", source="active", vmid=number)]

    def last_end(self, number, kind):
        """Return how our last task of a kind ended, empty where none did."""
        rows = self.read("nodes", self.node, "tasks", source="archive", vmid=number, typefilter=kind, userfilter=self.user, limit=1)
        return str(rows[0].get("status", "")) if rows else ""

    def settled(self, number, *, wait_s):
        """Return the configuration once no task has its lock (then without `lock`), or what it is when waiting is of no use any more."""
        ends, idle = time.monotonic() + wait_s, 0
        while True:
            config = self.config(number)
            if config is None or "lock" not in config:
                return config
            idle = 0 if self.working(number) else idle + 1
            if idle >= _LOOKS_WITHOUT_A_TASK or time.monotonic() > ends:
                return config
            time.sleep(_PAUSE_S)

    def guest_file(self, number, path):
        """Return the text of a file in the guest, None while its agent does not answer, or has no such file."""
        try:
            told = self.read("nodes", self.node, "qemu", number, "agent", "file-read", file=path)
        except ProxmoxError as error:
            if any(words in str(error) for words in ("uest agent", "Agent error", "is not running", "no answer in")):
                return None
            raise
        return None if told is None else str(told["content"])
