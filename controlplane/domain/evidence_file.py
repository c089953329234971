"""Evidence of several hosts as one JSON document: what `evidence --out` writes and `audit --evidence` judges.

Form: `{"schema_version": 1, "hosts": [Evidence, …], "unreached": [{"host": …, "reason": …}, …]}`; its text is made in evidence_text.py. Probes
stay raw; they are checked when a check reads them. One host's evidence by itself is read as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.evidence import SCHEMA, Evidence, Unreached
from controlplane.domain.evidence_text import load_evidence_text
from controlplane.domain.faults import Nowhere, Source, fault_at
from controlplane.domain.plain_json import TwinError

_COMMAND = "'controlplane evidence --out FILE'"


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
        raise InputInvalidError([Fault(file, 0, "", f"{error}: write it again with {_COMMAND}")]) from None
    except ValueError as error:
        line = getattr(error, "lineno", 0)
        raise InputInvalidError([Fault(file, line, "", f"is no JSON ({error})")]) from None
    if isinstance(document, dict) and "probes" in document:
        document = {"schema_version": document.get("schema_version"), "hosts": [document], "unreached": []}
    if not isinstance(document, dict) or not {"hosts", "unreached"} & document.keys():
        raise InputInvalidError([Fault(file, 0, "", f"is no evidence: write it with {_COMMAND}")])
    source = Nowhere(file)
    faults: list[Fault] = []
    version = document.get("schema_version")
    if version != SCHEMA:
        told = "missing" if version is None else repr(version)
        faults.append(fault_at(source, ("schema_version",), f"is {told}, this version reads {SCHEMA}"))
        if version is not None:
            # Of what another version wrote, nothing is known to be a fault.
            raise InputInvalidError(faults)
    seen: dict[str, Evidence | Unreached] = {}
    for at, data, model in _records(document, source, faults):
        try:
            one = model.model_validate(data)
        except ValidationError as error:
            faults += [fault_at(source, (at, *each["loc"]), _again(each["msg"])) for each in error.errors(include_url=False, include_input=False)]
            continue
        if one.host in seen:
            faults.append(fault_at(source, (at, "host"), f"{one.host} is there twice"))
        seen[one.host] = one
    if faults:
        raise InputInvalidError(faults)
    return seen


def _records(document: dict[str, Any], source: Source, faults: list[Fault]) -> Iterator[tuple[str, Any, type[Evidence] | type[Unreached]]]:
    """Yield where each record stands, its data and its model; what is no list of records is added to the faults."""
    models: tuple[tuple[str, type[Evidence] | type[Unreached]], ...] = (("hosts", Evidence), ("unreached", Unreached))
    for field, model in models:
        held = document.get(field, [] if field == "unreached" else None)
        if not isinstance(held, list):
            faults.append(fault_at(source, (field,), _again("is missing" if held is None else "is no list")))
            continue
        for at, data in enumerate(held):
            yield f"{field}[{at}]", data, model


def _again(why: str) -> str:
    return f"{why.removeprefix('Value error, ')}: write the file again with {_COMMAND}"
