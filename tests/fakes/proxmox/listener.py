"""Sockets and HTTP for the stand-in: TLS, reading a call, sending an answer, and being cut off."""

from __future__ import annotations

import io
import os
import socket
import ssl
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes.proxmox.faults import Fault
from tests.fakes.proxmox.wire import Answer, api_path, read_params

if TYPE_CHECKING:
    from tests.fakes.proxmox.server import ProxmoxServer


class Listener:
    """Listens on a free port of localhost until it is closed."""

    def __init__(self, certificate: Path, proxmox: ProxmoxServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.closing = threading.Event()
        handler = type("_BoundHandler", (_Handler,), {"proxmox": proxmox, "closing": self.closing})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        # The handshake is made in the connection's own thread, so that a client that refuses the certificate stops nobody.
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and let hanging answers go."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxmox: ProxmoxServer
    closing: threading.Event

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        params = read_params(self.path, self.headers.get("Content-Type") or "", body, self.proxmox.world.arrived)
        fault = self.proxmox.fault(self.command, api_path(self.path))
        if fault is not None and fault.when == "before":
            self._go_wrong(fault, params)
            return
        answer = self.proxmox.answer(self.command, self.path, self.headers.get("Authorization") or "", params)
        if fault is not None:
            self._go_wrong(fault, params)
            return
        self.proxmox.record(self.command, self.path, params, answer)
        self._send(answer if answer.body or answer.status != 200 else Answer(200, body=b'{"data":null}'))

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - names that http.server looks for

    def _go_wrong(self, fault: Fault, params: dict[str, Any]) -> None:
        if fault.kind == "status":
            answer = Answer(fault.status, fault.reason, b'{"data":null}')
            self.proxmox.record(self.command, self.path, params, answer)
            self._send(answer)
            return
        self.proxmox.record(self.command, self.path, params, None)
        if fault.kind == "hang":
            self.closing.wait(fault.seconds)
        self._cut_off()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status, answer.reason)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _cut_off(self) -> None:
        """Reset the connection, so that the client sees neither an answer nor an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.wfile, self.rfile, self.close_connection = io.BytesIO(), io.BytesIO(), True

    def log_message(self, *_: object) -> None:
        """Stay quiet: calls are recorded."""
