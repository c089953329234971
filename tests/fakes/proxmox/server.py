"""A server on localhost that answers as Proxmox VE's API does, for tests of what provisions machines.

Rules:
- Every call is held against the published schema; what the schema doesn't know is refused as the real server refuses it, and what
  this server doesn't model is 501, never a made-up success.
- It speaks TLS under a CA of its own: clients get the CA's file and verify.
- Every call is recorded with secrets masked, also those that are refused or lost.
- Nothing is removed unless the test has said so.

From pve-http-server and pve-manager: parameters come as form fields or JSON; a wrong token is 401 "Authentication failed!" with no body
(the real one answers 3 s late); an unknown path or method is 501 "Method 'GET /x' not implemented".
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.fakes.proxmox.authority import make_certificates
from tests.fakes.proxmox.calls import Request
from tests.fakes.proxmox.faults import Fault
from tests.fakes.proxmox.listener import Listener
from tests.fakes.proxmox.privileges import missing_privilege
from tests.fakes.proxmox.reads import CALLS
from tests.fakes.proxmox.replies import RefusedCallError, TaskError, died, not_modelled, refused
from tests.fakes.proxmox.schema import load_schema
from tests.fakes.proxmox.validation import check_call
from tests.fakes.proxmox.wire import Answer, Call, api_path
from tests.fakes.proxmox.world import World

# Parameters that the schema knows and no method here heeds: ignored they would make a test pass on what never happened.
_UNHEEDED = {
    "archive", "background_delay", "bwlimit", "delay", "destroy-unreferenced-disks", "errors", "force-cpu", "ha-managed",
    "import-working-storage", "live-restore", "migratedfrom", "migration_network", "migration_type", "pool", "revert",
    "skiplock", "snapname", "snapshot", "stateuri", "statusfilter", "target", "targetstorage", "unique", "until", "with-conntrack-state",
}  # fmt: skip
_SECRETS = {"cipassword", "password", "input-data"}


@dataclass
class ProxmoxServer:
    """The server, from `with` until its end."""

    world: World = field(default_factory=World)
    token_id: str = "plan@pve!controlplane"
    # One of its own: who looks for it in all processes must not meet that of a test beside it.
    secret: str = field(default_factory=lambda: str(uuid4()))
    privileges: frozenset[str] | None = None
    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    # What went wrong in the server itself: `with` ends in it, so that no test takes it for an answer.
    broken: list[Exception] = field(default_factory=list)

    def __enter__(self) -> ProxmoxServer:
        self._folder = tempfile.TemporaryDirectory(prefix="proxmox-")
        self._turn = threading.Lock()
        self.ca, certificate = make_certificates(Path(self._folder.name))
        self._listener = Listener(certificate, self)
        self.port = self._listener.port
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._folder.cleanup()
        if self.broken:
            raise AssertionError(f"the stand-in for Proxmox VE broke: {self.broken[0]!r}") from self.broken[0]

    @property
    def changes(self) -> list[str]:
        """The calls that were meant to change something, in their order."""
        return [str(call) for call in self.calls if call.method != "GET"]

    def fault(self, method: str, path: str) -> Fault | None:
        """Return the fault that this call meets."""
        with self._turn:
            return next((fault for fault in list(self.faults) if fault.meets(method, path)), None)

    def record(self, method: str, target: str, params: Mapping[str, Any], answer: Answer | None) -> None:
        """Keep a call; one that had no answer has status 0."""
        masked = {key: "********" if key in _SECRETS else value for key, value in params.items()}
        told = answer or Answer(0, "lost")
        self.calls.append(Call(method, api_path(target), masked, told.status, told.reason))

    def answer(self, method: str, target: str, authorization: str, params: Mapping[str, Any]) -> Answer:
        """Serve one call; one at a time, and each lets running tasks go on."""
        with self._turn:
            try:
                data = self._serve(method, target, authorization, params)
            except TaskError as fault:
                return _told(died(str(fault)))
            except RefusedCallError as refusal:
                return _told(refusal)
            except Exception as fault:
                self.broken.append(fault)
                raise
            return Answer(200, body=json.dumps({"data": data}).encode())

    def _serve(self, method: str, target: str, authorization: str, params: Mapping[str, Any]) -> object:
        for task in self.world.tasks.values():
            task.goes_on()
        if authorization != f"PVEAPIToken={self.token_id}={self.secret}":
            raise RefusedCallError(401, "Authentication failed!" if authorization else "No ticket")
        path, schema = api_path(target), load_schema()
        found = schema.match(path)
        if found is None or (method, found[0]) not in schema.methods:
            raise RefusedCallError(501, f"Method '{method} {path}' not implemented")
        template, places = found
        for key, value in places.items():
            if params.get(key, value) != value:
                raise refused({key: "duplicate parameter (already defined in URI) with conflicting values!"})
        told, given = schema.method(method, template), {**places, **params}
        lacking = missing_privilege(told.permissions, template, given, self.privileges)
        if lacking is not None:
            raise RefusedCallError(403, f"Permission check failed ({lacking})")
        errors = check_call(told.parameters, given)
        if errors:
            raise refused(errors)
        if (method, template) not in CALLS:
            raise not_modelled(f"{method} {template}")
        unheeded = sorted(_UNHEEDED & given.keys())
        if unheeded:
            raise not_modelled(f"{', '.join(unheeded)} of {method} {template}")
        return CALLS[method, template](Request(self.world, given, self.token_id, self.privileges))


def _told(refusal: RefusedCallError) -> Answer:
    reason = refusal.reason.split("\n")[0]
    if refusal.status == 401:
        return Answer(401, reason)
    told = {"data": None, "message": f"{refusal.reason}\n", **({"errors": refusal.errors} if refusal.errors else {})}
    return Answer(refusal.status, reason, json.dumps(told).encode())
