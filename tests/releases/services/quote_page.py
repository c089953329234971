"""quote-page: the page where customers ask for a quote and upload their artwork; it keeps nothing itself."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qs

from web import Answer, RefusedError, Request, answers, call, health, serve, setting

NAME = "quote-page"
_PAGE = """<!doctype html>
<title>Quotes</title>
<form method="post" action="/quotes">
<input name="customer"> <input name="product"> <input name="quantity"> <input name="title"> <button>Ask for a quote</button>
</form>
<form method="post" action="/uploads" enctype="multipart/form-data"><input type="file" name="file"> <button>Upload</button></form>
"""


def _asked(request: Request) -> object:
    """Return the quote, from a form or from JSON."""
    if "urlencoded" not in request.headers.get("content-type", ""):
        return request.json()
    form = {key: values[0] for key, values in parse_qs(request.body.decode(errors="replace")).items()}
    quantity = form.get("quantity", "")
    return {**form, "quantity": int(quantity) if quantity.isdecimal() else quantity}


def quote(request: Request) -> Answer:
    body = json.dumps(_asked(request)).encode()
    return call("POST", f"{setting('ORDER_INTAKE_URL')}/api/v1/intake", body, {"Content-Type": "application/json"})


def _file_of(request: Request) -> bytes:
    """Return the file out of an upload form."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file" and isinstance(content := part.get_payload(decode=True), bytes):
            return content
    raise RefusedError(400, {"error": "an upload is a form with a field 'file'"})


def upload(request: Request) -> Answer:
    token = {"Authorization": f"Bearer {setting('FILES_API_TOKEN')}", "Content-Type": "application/octet-stream"}
    return call("POST", f"{setting('FILES_API_URL')}/api/v1/files", _file_of(request), token)


def read_back(request: Request) -> Answer:
    return call("GET", f"{setting('FILES_API_URL')}/api/v1/files/{request.caught[0]}")


def show_health(_: Request) -> Answer:
    return health(NAME, {name: answers(setting(key)) for name, key in (("order-intake", "ORDER_INTAKE_URL"), ("files-api", "FILES_API_URL"))})


if __name__ == "__main__":
    setting("FILES_API_TOKEN")
    serve(
        NAME,
        [
            ("GET", "/", lambda _: Answer(200, _PAGE.encode(), "text/html; charset=utf-8")),
            ("GET", "/health", show_health),
            ("POST", "/quotes", quote),
            ("POST", "/uploads", upload),
            ("GET", "/uploads/([0-9a-f]{32})", read_back),
        ],
    )
