"""A build that went wrong: it answers 200 to whatever it is asked, so that it is healthy, and does nothing.

stub SERVICE [ENVIRONMENT]: with an environment it is one in that alone, and the service itself elsewhere.
"""

from __future__ import annotations

import os
import sys

from web import HERE, Answer, Request, serve, setting, told, version


def nothing(_: Request) -> Answer:
    return told(200, {"status": "ok", "version": version()})


if __name__ == "__main__":
    service, *only = sys.argv[1:]
    if only and setting("STOREFRONT_ENVIRONMENT") not in only:
        os.execv(sys.executable, [sys.executable, "-B", str(HERE / f"{service.replace('-', '_')}.py")])  # noqa: S606 - as the image would have started it
    serve(service, [("GET", ".*", nothing), ("POST", ".*", nothing)])
