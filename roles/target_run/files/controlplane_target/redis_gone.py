"""A container that is gone while a run keeps it down, or is half made: what is to be known of that, and by whom it is let go.

Rules:
- Docker says the same of one that somebody removed and of one that lies on a disk which is away. It is waited for, as long as its service is in the compose
  files: who comes back has no policy of its own, and is brought up by the host.
- One whose service is in them no more nobody brings up: it is let go, and where its newest data lie is told.
- One of which no compose file is known is let go by a person alone, who asks for the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import path_kept, redis_command, redis_guard, settle_units
from .redis_server import state_of
from .state import Run

if TYPE_CHECKING:
    from .redis_request import Request


def forsake(journal: Run, request: Request) -> str:
    """Let go of a container that is gone; return what is to be known of that. Said once: where its newest data lie is known as long as it is kept down."""
    if journal.state.get("guard") is None and journal.state.get("forsaken"):
        return str(journal.state["forsaken"])
    said = _said(journal, request)
    redis_guard.doubt(journal, said)
    journal.write(guard=None, dump_kept=True, forsaken=said)
    settle_units.uninstall_after(journal.key)
    return said


def awaited(journal: Run, request: Request) -> str:
    """Note, and return, what is to be known of a container that is gone and is kept down still should it come back."""
    what = f"Docker has no {request.container}: somebody removed it, or the disk on which Docker keeps it is not there"
    how = ""
    if redis_guard.has_file(journal):
        redis_guard.doubt(
            journal,
            f"Docker had no {request.container} while run {journal.key} kept it down: its newest data were in {redis_guard.file_of(journal)}, and a container "
            "that was made anew without --appendonly yes passed that by",
        )
        journal.write(dump_kept=True)
        how = f", with --appendonly yes at the end of its command: its newest data are in {redis_guard.file_of(journal)}"
    end = "take its service out of the compose files" if journal.state.get("stack") else f"controlplane rollback {journal.key}"
    return f"{what}. Bring that disk back, or make the container anew{how}; the host then goes on by itself. Where it is gone for good, {end}"


def closed(of: Run, request: Request) -> dict[str, Any] | None:
    """Close a run whose container nobody brings up any more, in place of its way back; return what is told of that, None where there is one to go."""
    is_kept = of.phase in redis_guard.CRITICAL or redis_guard.stands(of)
    if not (is_kept or (of.state.get("forsaken") and of.phase != "undone")) or state_of(request.container) is not None:
        return None
    if not redis_command.is_taken_away(of, None) and (of.state.get("stack") or not redis_guard.stands(of)):
        return None
    said = of.state.get("forsaken") or forsake(of, request)
    path_kept.forget(of)
    of.write(phase="undone", complaint=said)
    return {"changed": True, "downtime_s": of.state.get("downtime_s") or {}, "told": {"container": request.container, "complaint": said}}


def _said(journal: Run, request: Request) -> str:
    return (
        f"{request.container} was taken away while run {journal.key} kept it down: its newest data are in {redis_guard.file_of(journal)}, and a start without "
        "--appendonly yes passes that by"
    )
