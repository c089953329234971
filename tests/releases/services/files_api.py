"""files-api, the artwork service: seeds with their metadata in PostgreSQL and their brief in the object store, and uploaded files."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid

from store import ask_database, ask_objects, database, get_object, make_bucket, migrate, newest_migration, once_there, put_object
from web import Answer, RefusedError, Request, health, serve, setting, told

NAME = "files-api"
_ID = r"([0-9a-f]{32})"


def _known(request: Request) -> None:
    """Refuse who does not show the stack's token."""
    shown = request.headers.get("authorization", "")
    if not hmac.compare_digest(shown, f"Bearer {setting('FILES_API_TOKEN')}"):
        raise RefusedError(401, {"error": "who is asking?"})


def make_seed(request: Request) -> Answer:
    _known(request)
    asked = request.json()
    seed, brief = uuid.uuid4().hex, json.dumps(asked["brief"], sort_keys=True).encode()
    key, digest = f"seeds/{seed}.json", hashlib.sha256(brief).hexdigest()
    put_object(key, brief)
    with database() as connection:
        row = (seed, asked["order"], asked["title"], key, len(brief), digest)
        connection.execute("insert into seeds (id, order_id, title, object, bytes, sha256) values (%s, %s, %s, %s, %s, %s)", row)
    return told(201, {"id": seed})


def show_seed(request: Request) -> Answer:
    with database() as connection:
        row = connection.execute("select id, order_id, title, object, bytes, sha256 from seeds where id = %s", (request.caught[0],)).fetchone()
    if row is None:
        raise RefusedError(404, {"error": "no such seed"})
    brief = get_object(str(row[3]))
    whole = brief is not None and hashlib.sha256(brief).hexdigest() == row[5]
    metadata = dict(zip(("id", "order", "title", "object", "bytes", "sha256"), row, strict=True))
    return told(200, {**metadata, "brief": json.loads(brief or b"null"), "whole": whole})


def keep_file(request: Request) -> Answer:
    _known(request)
    name = uuid.uuid4().hex
    put_object(f"files/{name}", request.body)
    return told(201, {"id": name, "bytes": len(request.body), "sha256": hashlib.sha256(request.body).hexdigest()})


def read_file(request: Request) -> Answer:
    content = get_object(f"files/{request.caught[0]}")
    if content is None:
        raise RefusedError(404, {"error": "no such file"})
    return Answer(200, content, "application/octet-stream")


def show_health(_: Request) -> Answer:
    return health(NAME, {"postgres": ask_database, "objects": ask_objects}, lambda: {"schema": newest_migration(NAME)})


if __name__ == "__main__":
    setting("FILES_API_TOKEN")
    once_there(lambda: migrate(NAME))
    once_there(make_bucket)
    serve(
        NAME,
        [
            ("GET", "/health", show_health),
            ("POST", "/api/v1/seeds", make_seed),
            ("GET", f"/api/v1/seeds/{_ID}", show_seed),
            ("POST", "/api/v1/files", keep_file),
            ("GET", f"/api/v1/files/{_ID}", read_file),
        ],
    )
