"""Evidence of several hosts as one JSON document: what `evidence --out` writes and `audit --evidence` judges.

Form: `{"schema_version": 1, "hosts": [Evidence, …], "unreached": [{"host": …, "reason": …}, …]}`; its text is made in evidence_text.py. Probes
stay raw; they are checked when a check reads them. One host's evidence by itself is read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.evidence import SCHEMA, Evidence, Unreached
from controlplane.domain.evidence_text import load_evidence_text
from controlplane.domain.plain_json import TwinError


def evidence_document(seen: Mapping[str, Evidence | Unreached]) -> dict[str, Any]:
    """Return the document of what was seen, sorted by host."""
    ordered = [seen[host] for host in sorted(seen)]
    return {
        "schema_version": SCHEMA,
        "hosts": [one.model_dump(mode="json") for one in ordered if isinstance(one, Evidence)],
        "unreached": [one.model_dump(mode="json") for one in ordered if isinstance(one, Unreached)],
    }


def read_evidence(text: str | bytes, *, file: str) -> dict[str, Evidence | Unreached]:
    """Return what `text` holds, by host. Raises `InputInvalidError` with every fault; `file` is what messages call it."""
    try:
        document = load_evidence_text(text)
    except TwinError as error:
        raise InputInvalidError([Fault(file, 0, "", f"{error}: write it again with 'controlplane evidence --out FILE'")]) from None
    except ValueError as error:
        line = getattr(error, "lineno", 0)
        raise InputInvalidError([Fault(file, line, "", f"is no JSON ({error})")]) from None
    if isinstance(document, dict) and "probes" in document:
        document = {"schema_version": document.get("schema_version"), "hosts": [document], "unreached": []}
    if not isinstance(document, dict) or not isinstance(document.get("hosts"), list):
        raise InputInvalidError([Fault(file, 0, "", "is no evidence: write it with 'controlplane evidence --out FILE'")])
    if document.get("schema_version") != SCHEMA:
        raise InputInvalidError([Fault(file, 0, "schema_version", f"is {document.get('schema_version')!r}, this version reads {SCHEMA}")])
    faults: list[Fault] = []
    seen: dict[str, Evidence | Unreached] = {}
    unreached = document.get("unreached", [])
    models: Iterable[tuple[str, Any, type[Evidence] | type[Unreached]]] = [
        *((f"hosts[{at}]", one, Evidence) for at, one in enumerate(document["hosts"])),
        *((f"unreached[{at}]", one, Unreached) for at, one in enumerate(unreached if isinstance(unreached, list) else [unreached])),
    ]
    for field, data, model in models:
        try:
            one = model.model_validate(data)
        except ValidationError as error:
            faults += [
                Fault(file, 0, f"{field}.{_dotted(each['loc'])}", each["msg"]) for each in error.errors(include_url=False, include_input=False)
            ]
            continue
        if one.host in seen:
            faults.append(Fault(file, 0, f"{field}.host", f"{one.host} is there twice"))
        seen[one.host] = one
    if faults:
        raise InputInvalidError(faults)
    return seen


def _dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
