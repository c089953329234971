"""Plans as files; a plan whose digest does not fit its content is refused before anything looks at it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from controlplane.adapters.durable_files import why_unwritable, write_durably
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import Fault, InputInvalidError, RunFailedError
from controlplane.domain.plain_json import without_twins
from controlplane.domain.plan import Plan

_LIMIT_BYTES = 64 * 1024**2


class JsonPlanFiles:
    """Reads and writes plan files."""

    def read(self, path: str) -> Plan:
        """Return the plan. Raises `InputInvalidError`, also where its digest does not fit its content."""
        try:
            file = Path(path)
            if file.stat().st_size > _LIMIT_BYTES:
                raise _invalid(path, "is larger than 64 MiB: no plan of this program is")
            content = file.read_bytes()
            plan = Plan.model_validate_json(content)
        except OSError as error:
            raise _invalid(path, f"can't be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise _invalid(path, f"is no plan: {place or 'content'}: {first['msg']}. Make one with 'controlplane plan --out FILE'") from None
        # Of the file itself, not of the model: a later version's model has other fields, and must still read what an earlier one wrote.
        try:
            body = json.loads(content, object_pairs_hook=without_twins)
        except ValueError as error:
            raise _invalid(path, f"is no plan: {error}. Make one with 'controlplane plan --out FILE'") from None
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
        """Write the plan atomically."""
        write_durably(Path(path), (plan.model_dump_json(indent=2) + "\n").encode(), mode=0o644)


class PlanFolder:
    """The plans that were ever begun: `<site>/state/plans/<digest>.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, plan: Plan) -> None:
        """Keep the plan under its digest, durably."""
        JsonPlanFiles().write(str(self._path(plan.plan)), plan)

    def get(self, digest: str) -> Plan:
        """Return the plan. Raises `RunFailedError` when it is gone."""
        path = self._path(digest)
        if not path.exists():
            raise RunFailedError(f"{path} is gone, and with it what the run was to do. Restore it from a backup of the state folder.")
        return JsonPlanFiles().read(str(path))

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.json"


def _invalid(path: str, message: str) -> InputInvalidError:
    return InputInvalidError([Fault(path, 0, "", message)])
