"""A call as it came over the wire, and the answer that goes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Call:
    """One call as it came in, secrets masked, and how it ended."""

    method: str
    path: str
    params: Mapping[str, Any]
    status: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """What goes back: a status, a reason phrase, a body, or nothing at all."""

    status: int
    reason: str = "OK"
    body: bytes = b""


def api_path(target: str) -> str:
    """Return the path below the API of a request's target."""
    return urlsplit(target).path.removeprefix("/api2/json")


def read_params(target: str, content_type: str, body: bytes, arrived: dict[str, bytes]) -> dict[str, Any]:
    """Return a call's parameters from its address and its body; a key that comes twice is a list, a file goes to `arrived`."""
    if content_type.startswith("multipart/form-data"):
        return _parts(content_type, body, arrived)
    if content_type.startswith("application/json") and body:
        given = json.loads(body)
        found = {key: _json_text(value) for key, value in given.items()}
    else:
        found = _fields(body.decode())
    return {**found, **_fields(urlsplit(target).query)}


def _parts(content_type: str, body: bytes, arrived: dict[str, bytes]) -> dict[str, Any]:
    """Return the fields of an upload; the server adds the name of its temporary file itself."""
    found: dict[str, Any] = {}
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    for part in message.walk():
        name, data = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(data, bytes):
            continue
        if part.get_filename() is None:
            found[name] = data.decode()
        else:
            temporary = f"/var/tmp/pveupload-{hashlib.sha256(data).hexdigest()[:32]}"
            arrived[temporary] = data
            found |= {name: part.get_filename(), "tmpfilename": temporary}
    return found


def _json_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_json_text(one) for one in value]
    return str(int(value)) if isinstance(value, bool) else str(value)


def _fields(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if key in found:
            found[key] = [*(found[key] if isinstance(found[key], list) else [found[key]]), value]
        else:
            found[key] = value
    return found
