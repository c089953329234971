"""A proxmoxer client of the stand-in that verifies its certificate."""

from __future__ import annotations

from typing import Any

from proxmoxer import ProxmoxAPI

from tests.fakes.proxmox.server import ProxmoxServer


def client(server: ProxmoxServer, **more: Any) -> ProxmoxAPI:
    """Return a client; what is given goes before what the server would have."""
    user, _, token = server.token_id.partition("!")
    given = {"user": user, "token_name": token, "token_value": server.secret, "verify_ssl": str(server.ca), "timeout": 5, **more}
    return ProxmoxAPI("localhost", port=server.port, **given)


def finished(node: Any, upid: str) -> dict[str, Any]:
    """Ask for a task until it has ended and return its last status."""
    for _ in range(50):
        status: dict[str, Any] = node.tasks(upid).status.get()
        if status["status"] == "stopped":
            return status
    raise AssertionError(f"{upid} did not end within 50 calls")
