"""What the undo script of a run calls, by hand: `undo`."""

from __future__ import annotations

import argparse
import socket
import time
from typing import Any

from . import bootstrap, compose_stack, hygiene, hygiene_timer, lease, leg_verbs, path_verbs, persistent_path, redis_aof, root_verbs, stack_verbs
from .cancel import Cancel
from .compose_stack import ComposeStack
from .docker_engine import Engine
from .docker_root import ROLE, DockerRoot
from .faults import FailedFault, RefusedFault
from .persistent_path import PersistentPath
from .state import Home
from .systemd import active

_SETTLING_S = 900.0
_AS_UNIT = (persistent_path.ROLE, compose_stack.ROLE)


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Take back what the run did; the lease is taken here, because no controller did."""
    run = home.run(options.run)
    if run.state.get("role") in ("purge_retired", "tmp_files"):
        raise RefusedFault(f"run {run.key} removed data by name, and that can't be undone. Nothing was changed. Restore from a backup.")
    if run.state.get("role") not in (ROLE, bootstrap.ROLE, redis_aof.ROLE, hygiene.ROLE, *_AS_UNIT):
        raise RefusedFault(f"run {run.key} is of role {run.state.get('role')}, whose undo lies in its own folder. Nothing was changed.")
    held = lease.take(
        home,
        run.key,
        f"root@{socket.gethostname()} (undo)",
        role=run.state["role"],
        ttl_s=1800,
        now=time.time(),
        host=socket.gethostname(),
        unit_active=active,
    )
    claim = lease.claim_of(held)
    try:
        if run.state["role"] not in (ROLE, *_AS_UNIT):
            with lease.holding(home, claim, now=time.time(), host=socket.gethostname()):
                if run.state["role"] == hygiene.ROLE:
                    return {"changed": hygiene_timer.undo(home, run)}
                if run.state["role"] == bootstrap.ROLE:
                    return bootstrap.undo(run)
                # The host's own unit may work on it.
                with home.lock("redis", patience_s=_SETTLING_S):
                    run.reload()
                    return redis_aof.undo(run, run, redis_aof.parse(run.state["asked"]))
        options.detach, options.of = True, run.key
        if run.state["role"] == ROLE:
            root_verbs.undo(DockerRoot(home, Engine(), Cancel()), run, run, options)
        elif run.state["role"] == compose_stack.ROLE:
            stack_verbs.undo(ComposeStack(home, Engine(), Cancel()), run, run, options)
        else:
            path_verbs.undo(PersistentPath(home, Engine(), Cancel()), run, run, options)
        while True:
            answer = leg_verbs.wait(run, 60, claim)
            if not answer["working"]:
                break
        outcome = answer["outcome"]
        if outcome["rc"]:
            raise (RefusedFault if outcome["rc"] == 4 else FailedFault)(outcome["message"])
        return dict(outcome.get("answer") or {})
    finally:
        lease.release(home, claim, unit_active=active)
