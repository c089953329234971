"""order-intake: validates quotes, keeps them as orders in PostgreSQL, and asks files-api for each one's artwork seed."""

from __future__ import annotations

import json
import uuid
from typing import Any

from store import ask_database, database, migrate, newest_migration, once_there
from web import Answer, RefusedError, Request, answers, call, health, serve, setting, told

NAME = "order-intake"
PRODUCTS = ("poster", "sticker", "shirt")


def _faults(asked: Any) -> list[dict[str, str]]:
    """Return what is wrong with an intake, by field."""
    if not isinstance(asked, dict):
        return [{"field": "", "message": "an intake is an object"}]
    most = int(setting("INTAKE_MAX_QUANTITY", "1000"))
    quantity = asked.get("quantity")
    faults = {
        "customer": not isinstance(asked.get("customer"), str) or "@" not in asked["customer"],
        "product": asked.get("product") not in PRODUCTS,
        "quantity": not isinstance(quantity, int) or isinstance(quantity, bool) or not 1 <= quantity <= most,
        "title": not isinstance(asked.get("title"), str) or not asked["title"].strip(),
    }
    said = {"customer": "an address of mail", "product": f"one of {', '.join(PRODUCTS)}", "quantity": f"1 to {most}", "title": "some text"}
    return [{"field": field, "message": said[field]} for field, wrong in faults.items() if wrong]


def _valid(request: Request) -> dict[str, Any]:
    asked = request.json()
    if faults := _faults(asked):
        raise RefusedError(422, {"valid": False, "errors": faults})
    return dict(asked)


def validate(request: Request) -> Answer:
    _valid(request)
    return told(200, {"valid": True, "errors": []})


def take_in(request: Request) -> Answer:
    """Store the order with its seed, or neither."""
    asked, order = _valid(request), uuid.uuid4().hex
    with database() as connection:
        row = (order, asked["customer"], asked["product"], asked["quantity"], asked["title"])
        connection.execute("insert into orders (id, customer, product, quantity, title) values (%s, %s, %s, %s, %s)", row)
        brief = {"product": asked["product"], "quantity": asked["quantity"]}
        body = json.dumps({"order": order, "title": asked["title"], "brief": brief}).encode()
        token = {"Authorization": f"Bearer {setting('FILES_API_TOKEN')}", "Content-Type": "application/json"}
        made = call("POST", f"{setting('FILES_API_URL')}/api/v1/seeds", body, token)
        if made.status != 201:
            raise OSError(f"files-api says {made.status}")
        seed = json.loads(made.body)["id"]
        connection.execute("update orders set seed = %s where id = %s", (seed, order))
    return told(201, {"order": order, "seed": seed})


def show_order(request: Request) -> Answer:
    with database() as connection:
        row = connection.execute("select id, customer, product, quantity, title, seed from orders where id = %s", (request.caught[0],)).fetchone()
    if row is None:
        raise RefusedError(404, {"error": "no such order"})
    return told(200, dict(zip(("id", "customer", "product", "quantity", "title", "seed"), row, strict=True)))


def show_health(_: Request) -> Answer:
    depends = {"postgres": ask_database, "files-api": answers(setting("FILES_API_URL"))}
    return health(NAME, depends, lambda: {"schema": newest_migration(NAME)})


if __name__ == "__main__":
    setting("FILES_API_TOKEN")
    once_there(lambda: migrate(NAME))
    serve(
        NAME,
        [
            ("GET", "/health", show_health),
            ("POST", "/api/v1/intake/validate", validate),
            ("POST", "/api/v1/intake", take_in),
            ("GET", "/api/v1/orders/([0-9a-f]{32})", show_order),
        ],
    )
