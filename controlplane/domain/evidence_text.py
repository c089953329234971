"""The text of an evidence document, in which no key may be there twice: of a probe that failed and then is there again as ok, JSON keeps the latter.

Rules:
- In the form that is written here, the data of each probe has a line of its own: every second line is data, and nothing else is on these.
- What is left without them is small: searching that, hosts' keys, names of probes and what is said of each, costs next to nothing.
- JSON of any other form is searched as a whole, which takes three times as long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from controlplane.domain.plain_json import load_plain, load_without_twins, without_twins

# No JSON holds it as a value, so it can stand for a line of data.
_STAND_IN = b"NaN"


def evidence_text(document: Mapping[str, Any]) -> str:
    """Return the document as JSON, its keys sorted, each probe's data on a line of its own."""
    hosts = ", ".join(_host(one) for one in document["hosts"])
    return f'{{"hosts": [{hosts}], {_dumped({key: value for key, value in document.items() if key != "hosts"})[1:]}'


def load_evidence_text(text: str | bytes) -> Any:
    """Return the data of a JSON text of any form. Raises TwinError for a key that is there twice, ValueError for what is no JSON."""
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    try:
        return _joined(raw.split(b"\n"))
    except (ValueError, KeyError, TypeError, AttributeError):
        # It has another form, or is no JSON, or has a twin: this tells which, and where.
        return load_without_twins(raw)


def _joined(lines: list[bytes]) -> Any:
    """Return the data of a text in our own form. Raises whatever comes of any other."""
    rest, data = _STAND_IN.join(lines[::2]), lines[1::2]
    if rest.count(_STAND_IN) != len(data) or not data or b"\\ud" in rest.lower():
        raise ValueError("this is not our own form")
    left = iter(data)
    document = json.loads(rest, object_pairs_hook=without_twins, parse_constant=lambda _: next(left, None))
    records = [record for host in document["hosts"] for record in host["probes"].values()]
    # A line that stands elsewhere, or for more than the data of one probe, was not searched.
    if [record["data"] for record in records] != data:
        raise ValueError("this is not our own form")
    for record in records:
        record["data"] = load_plain(record["data"])
    return document


def _host(host: Mapping[str, Any]) -> str:
    probes = ", ".join(f"{_dumped(name)}: {_record(record)}" for name, record in sorted(host["probes"].items()))
    return f'{_dumped({key: value for key, value in host.items() if key != "probes"})[:-1]}, "probes": {{{probes}}}}}'


def _record(record: Mapping[str, Any]) -> str:
    said = _dumped({key: value for key, value in record.items() if key != "data"})
    return f'{said[:-1]}, "data":\n{_dumped(record["data"])}\n}}'


def _dumped(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, sort_keys=True)
