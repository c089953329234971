"""What a call ends with when it does not end well, in Proxmox VE's own shapes.

From pve-http-server (formatter `json`) and pve-common (exceptions): a refused parameter is 400 with the reason phrase "Parameter
verification failed." and `{"data": null, "message": …, "errors": {parameter: text}}`; whatever a method dies of is 500 with its
first line as reason phrase; a missing privilege is 403 "Permission check failed (path, privilege)".
"""

from __future__ import annotations

from collections.abc import Mapping

VERIFICATION = "Parameter verification failed."


class RefusedCallError(Exception):
    """A call that ends with an error status; `errors` is by parameter."""

    def __init__(self, status: int, reason: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.errors = status, reason, dict(errors or {})


class TaskError(Exception):
    """What a task dies of: the text after "TASK ERROR: " in its log and its exit status."""


def refused(errors: Mapping[str, str]) -> RefusedCallError:
    """Return the refusal of parameters."""
    return RefusedCallError(400, VERIFICATION, errors)


def died(text: str) -> RefusedCallError:
    """Return what a method died of."""
    return RefusedCallError(500, text)


def not_modelled(what: str) -> RefusedCallError:
    """Return the refusal of something that the real server knows and this one does not; a test that meets it has to extend the server."""
    return RefusedCallError(501, f"this stand-in does not model {what}: add it to tests/fakes/proxmox")
