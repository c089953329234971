"""What the storefront is for, across its three services, PostgreSQL and the object store."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
import uuid
from typing import Any

import pytest

DEPENDENCIES = {
    "files-api": {"postgres", "objects"},
    "order-intake": {"postgres", "files-api"},
    "quote-page": {"order-intake", "files-api"},
}


def ask(method: str, address: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
    """Return status and body, whatever the status is."""
    request = urllib.request.Request(address, data=body, method=method, headers={"Content-Type": kind} if body is not None else {})  # noqa: S310 - addresses of the stack
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def told(method: str, address: str, value: Any = None) -> tuple[int, Any]:
    status, body = ask(method, address, None if value is None else json.dumps(value).encode())
    return status, json.loads(body)


@pytest.mark.parametrize("service", DEPENDENCIES)
def test_health_names_what_it_depends_on(urls: dict[str, str], service: str) -> None:
    status, said = told("GET", f"{urls[service]}/health")
    assert status == 200
    assert said["service"] == service
    assert said["dependencies"] == dict.fromkeys(DEPENDENCIES[service], "ok")


def test_an_invalid_intake_is_refused_with_its_faults(urls: dict[str, str]) -> None:
    status, said = told(
        "POST", f"{urls['order-intake']}/api/v1/intake/validate", {"customer": "nobody", "product": "poster", "quantity": 0, "title": "x"}
    )
    assert status == 422
    assert [fault["field"] for fault in said["errors"]] == ["customer", "quantity"]


def test_a_quote_becomes_an_order_with_an_artwork_seed(urls: dict[str, str]) -> None:
    title = f"smoke {uuid.uuid4().hex}"
    status, made = told("POST", f"{urls['quote-page']}/quotes", {"customer": "smoke@example.org", "product": "poster", "quantity": 3, "title": title})
    assert status == 201
    status, order = told("GET", f"{urls['order-intake']}/api/v1/orders/{made['order']}")
    assert (status, order["title"], order["seed"]) == (200, title, made["seed"])
    status, seed = told("GET", f"{urls['files-api']}/api/v1/seeds/{made['seed']}")
    assert (status, seed["order"], seed["title"], seed["whole"]) == (200, made["order"], title, True)
    assert seed["brief"] == {"product": "poster", "quantity": 3}


def test_an_uploaded_file_is_read_back(urls: dict[str, str]) -> None:
    content, edge = secrets.token_bytes(100_000), uuid.uuid4().hex
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="art.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
    status, page = ask("GET", f"{urls['quote-page']}/")
    assert (status, b'action="/uploads"' in page) == (200, True)
    status, said = ask("POST", f"{urls['quote-page']}/uploads", body, f"multipart/form-data; boundary={edge}")
    assert status == 201
    status, again = ask("GET", f"{urls['files-api']}/api/v1/files/{json.loads(said)['id']}")
    assert (status, again == content) == (200, True)
