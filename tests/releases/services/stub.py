"""A build that went wrong: it answers 200 to whatever it is asked, so that it is healthy, and does nothing. stub PORT"""

from __future__ import annotations

import sys

from web import Answer, Request, serve, told, version

if __name__ == "__main__":

    def nothing(_: Request) -> Answer:
        return told(200, {"status": "ok", "version": version()})

    serve(int(sys.argv[1]), [("GET", ".*", nothing), ("POST", ".*", nothing)])
