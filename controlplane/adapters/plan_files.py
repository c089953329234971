"""Plans as files; a plan whose digest does not fit its content is refused before anything looks at it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import why_unwritable, write_durably
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import Fault, InputInvalidError, RunFailedError
from controlplane.domain.faults import Nowhere, fault_at
from controlplane.domain.plain_json import without_twins
from controlplane.domain.plan import Plan

_LIMIT_BYTES = 64 * 1024**2
_MAKE_ONE = "Make one with 'controlplane plan --out FILE'"


class JsonPlanFiles:
    """Reads and writes plan files."""

    def read(self, path: str) -> Plan:
        """Return the plan. Raises `InputInvalidError` with every fault, also where its digest does not fit its content."""
        try:
            file = Path(path)
            if file.stat().st_size > _LIMIT_BYTES:
                raise _invalid(path, "is larger than 64 MiB: no plan of this program is")
            content = file.read_bytes()
            plan = Plan.model_validate_json(content)
        except OSError as error:
            raise _invalid(path, f"can't be read: {error.strerror}") from None
        except ValidationError as error:
            raise InputInvalidError(_faults(path, content, error)) from None
        # Of the file itself, not of the model: a later version's model has other fields, and must still read what an earlier one wrote.
        try:
            body = json.loads(content, object_pairs_hook=without_twins)
        except ValueError as error:
            raise _invalid(path, f"is no plan: {error}. {_MAKE_ONE}") from None
        body.pop("plan")
        if plan.plan != digest_of(body):
            raise _invalid(path, "was altered after it was made: its digest does not fit. Make it again with 'controlplane plan --out FILE'")
        return plan

    def refuse_unless_writable(self, path: str) -> None:
        """Raise `InputInvalidError` where no plan could be written: looking at the hosts first may take minutes, or reboot one."""
        fault = why_unwritable(Path(path), "plan")
        if fault is not None:
            raise _invalid(path, fault)

    def write(self, path: str, plan: Plan) -> None:
        """Write the plan atomically. Raises `InputInvalidError` where it can't be written."""
        try:
            _write(Path(path), plan)
        except OSError as error:
            raise _invalid(path, f"can't be written ({error.strerror}): name a file in a folder of yours") from None


class PlanFolder:
    """The plans that were ever begun: `<site>/state/plans/<digest>.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, plan: Plan) -> None:
        """Keep the plan under its digest, durably. Raises `RunFailedError` where it can't be written."""
        path = self._path(plan.plan)
        try:
            _write(path, plan)
        except OSError as error:
            why = f"{path} can't be written ({error.strerror}), and nothing is begun whose plan is not kept"
            raise RunFailedError(f"{why}. Make room there, or let this user write there, then run the same command again.") from None

    def get(self, digest: str) -> Plan:
        """Return the plan. Raises `RunFailedError` when it is gone, or can't be looked for."""
        path = self._path(digest)
        try:
            path.stat()
        except FileNotFoundError:
            raise RunFailedError(f"{path} is gone, and with it what the run was to do. Restore it from a backup of the state folder.") from None
        except OSError as error:
            why = f"{path} can't be read ({error.strerror}), so nobody knows what the run was to do"
            raise RunFailedError(f"{why}. Nothing was changed. Let this user read it, or run this as the one whose folder it is.") from None
        return JsonPlanFiles().read(str(path))

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.json"


def _write(path: Path, plan: Plan) -> None:
    write_durably(path, (plan.model_dump_json(indent=2) + "\n").encode(), mode=0o644)


def _faults(path: str, content: bytes, error: ValidationError) -> list[Fault]:
    """Return a fault for each field that no plan has so; where the content is no JSON, the line at which it ends to be any."""
    faults: list[Fault] = []
    for detail in error.errors(include_url=False, include_input=False):
        why = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "json_invalid":
            faults.append(Fault(path, _broken_line(content), "", f"is no plan: {why}. {_MAKE_ONE}"))
        else:
            faults.append(fault_at(Nowhere(path), detail["loc"], f"{why}: this is no plan. {_MAKE_ONE}"))
    return faults


def _broken_line(content: bytes) -> int:
    """Return the line at which the content ends to be JSON, 0 where that is not known."""
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return error.lineno
    except (ValueError, RecursionError):
        return 0
    return 0


def _invalid(path: str, message: str) -> InputInvalidError:
    return InputInvalidError([Fault(path, 0, "", message)])
