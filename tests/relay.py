"""A wire between a client and a real server that a test can cut, at the worst moment if it likes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

SLICE_BYTES = 65_536


class Relay:
    """Forwards TCP connections to ``host:port`` until it is cut. ``delay_s`` makes each slice late."""

    def __init__(self, host: str, port: int) -> None:
        self.delay_s = 0.0
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wires: list[socket.socket] = []
        self._whole = True
        self._last_request = b""
        self._is_withheld = False
        self._last_request_seen = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def is_cut(self) -> bool:
        """Whether it is cut now."""
        return not self._whole

    def cut(self) -> None:
        """End all connections, and new ones as they come, until :meth:`mend`."""
        self._whole = False
        for wire in self._wires:
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        self._wires.clear()

    def mend(self) -> None:
        """Forward connections again."""
        self._last_request = b""
        self._last_request_seen.clear()
        self._whole = True

    def cut_instead_of_reply_to(self, request: bytes) -> None:
        """Forward what the client sends up to and with ``request``; cut when the server replies to it."""
        self._is_withheld, self._last_request = False, request

    def cut_instead_of(self, request: bytes) -> None:
        """Cut when the client sends ``request``, which the server never sees."""
        self._is_withheld, self._last_request = True, request

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._whole:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(self._target)
                except OSError:  # the server is away
                    client.close()
                    continue
                self._wires += [client, server]
                threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
                threading.Thread(target=self._replies, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while data := client.recv(SLICE_BYTES):
                time.sleep(self.delay_s)
                if self._last_request and self._last_request in data:
                    if self._is_withheld:
                        self.cut()
                        return
                    self._last_request_seen.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _replies(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError), server:
            while data := server.recv(SLICE_BYTES):
                if self._last_request_seen.is_set():
                    self.cut()
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
