"""A quote becomes an order, and its artwork a seed: what the storefront is for, asked from outside. A healthy stub fails each of these.

`urls` is the address of each service, `host` the machine that runs them (testinfra), `environment` which of the two is asked.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

# What each service leans on; a `/health` that does not name them tells nothing of them.
DEPENDENCIES = {
    "order-intake": {"postgres", "redis", "files-api"},
    "files-api": {"minio"},
    "quote-page": {"redis", "order-intake"},
}
# As ../../storefront.yml names them.
PROJECTS = {"staging": "storefront-staging", "production": "storefront"}
WITHIN_S = 20


class Answer(NamedTuple):
    status: int
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            pytest.fail(f"answered {self.status} with something that is no JSON")


def ask(method: str, url: str, content: bytes | None = None, kind: str = "application/json") -> Answer:
    request = Request(url, data=content, method=method, headers={"Content-Type": kind, "Accept": "application/json"})
    try:
        with urlopen(request, timeout=WITHIN_S) as answer:
            return Answer(answer.status, answer.read())
    except HTTPError as error:
        with error:
            return Answer(error.code, error.read())


def quote(**changed: Any) -> bytes:
    """Return a quote as the page sends it, marked as one of these tests, so that nobody prints it."""
    wanted = {
        "customer": {"name": "Smoke Test", "email": "smoke@example.org"},
        "items": [{"product": "sticker", "width_mm": 50, "height_mm": 50, "quantity": 250}],
        "artwork": {"file_name": "proof.svg", "content_type": "image/svg+xml"},
        "test": True,
    }
    return json.dumps(wanted | changed).encode()


@pytest.fixture(scope="module")
def order(urls: Mapping[str, str]) -> dict[str, Any]:
    """The order that a quote of this run became: taken in by the page, which hands it to order-intake, which asks files-api for a seed."""
    mark = f"smoke-{secrets.token_hex(8)}"
    answer = ask("POST", f"{urls['quote-page']}/api/v1/intake", quote(reference=mark))
    assert answer.status == 201, f"quote-page answered {answer.status} to a valid quote"
    taken = answer.json()
    assert taken["reference"] == mark, "the answer is not about the quote that was sent"
    return taken


@pytest.mark.parametrize("service", sorted(DEPENDENCIES))
def test_health_names_what_a_service_leans_on(urls: Mapping[str, str], service: str) -> None:
    answer = ask("GET", f"{urls[service]}/health")
    assert answer.status == 200, f"{service} is not healthy: {answer.status}"
    told = answer.json().get("dependencies", {})
    assert told.keys() >= DEPENDENCIES[service], f"{service} says nothing of {', '.join(sorted(DEPENDENCIES[service] - told.keys()))}"
    ill = sorted(name for name in DEPENDENCIES[service] if told[name] != "ok")
    assert not ill, f"{service} misses {', '.join(ill)}"


@pytest.mark.parametrize(
    ("field", "value"),
    [("items", []), ("customer", {"name": "", "email": "nobody"}), ("artwork", {"file_name": "run.exe", "content_type": "application/x-msdownload"})],
)
def test_an_invalid_intake_is_refused_and_says_which_field(urls: Mapping[str, str], field: str, value: Any) -> None:
    answer = ask("POST", f"{urls['order-intake']}/api/v1/intake/validate", quote(**{field: value}))
    assert answer.status == 422, f"answered {answer.status} to an intake whose {field} is invalid"
    fields = [error["field"].split(".")[0] for error in answer.json()["errors"]]
    assert field in fields, f"does not say that {field} is wrong"


def test_a_valid_intake_is_valid(urls: Mapping[str, str]) -> None:
    answer = ask("POST", f"{urls['order-intake']}/api/v1/intake/validate", quote())
    assert answer.status == 200, f"answered {answer.status} to a valid intake"


def test_a_quote_becomes_an_order_in_order_intake(urls: Mapping[str, str], order: dict[str, Any]) -> None:
    answer = ask("GET", f"{urls['order-intake']}/api/v1/intake/{order['id']}")
    assert answer.status == 200, f"order-intake does not know the order: {answer.status}"
    assert answer.json()["reference"] == order["reference"]


def test_the_artwork_of_an_order_is_a_seed_with_its_metadata(urls: Mapping[str, str], order: dict[str, Any]) -> None:
    answer = ask("GET", f"{urls['files-api']}/api/v1/seeds/{order['seed']}")
    assert answer.status == 200, f"files-api does not know the seed: {answer.status}"
    seed = answer.json()
    assert (seed["id"], seed["order"], seed["file_name"]) == (order["seed"], order["id"], "proof.svg")


def test_no_seed_is_invented(urls: Mapping[str, str]) -> None:
    assert ask("GET", f"{urls['files-api']}/api/v1/seeds/{secrets.token_hex(16)}").status == 404


def test_a_file_that_is_uploaded_is_read_back(urls: Mapping[str, str], order: dict[str, Any]) -> None:
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg"><!-- {secrets.token_hex(64)} --></svg>'.encode()
    place = f"{urls['files-api']}/api/v1/seeds/{order['seed']}/file"
    written = ask("PUT", place, drawing, kind="image/svg+xml")
    assert written.status in (200, 201, 204), f"files-api answered {written.status} to the upload"
    assert ask("GET", place).body == drawing, "what is read back is not what was uploaded"


@pytest.mark.parametrize("service", sorted(DEPENDENCIES))
def test_no_container_of_the_machine_starts_over_and_over(host: Any, environment: str, service: str) -> None:
    # Of this environment alone: the other one runs on the same machine; and not what somebody ran once, beside the service.
    labels = {"project": PROJECTS[environment], "service": service, "oneoff": "False"}
    filters = " ".join(f"--filter label=com.docker.compose.{name}={value}" for name, value in labels.items())
    listed = host.run(f"docker ps --all {filters} --format '{{{{.State}}}}'")
    assert listed.rc == 0, "docker does not say what runs"
    states = listed.stdout.split()
    assert states, f"{service} has no container in {PROJECTS[environment]}"
    assert set(states) == {"running"}, f"{service} is {', '.join(sorted(set(states)))}"
