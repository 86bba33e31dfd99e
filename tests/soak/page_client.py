"""A page of the console without a browser: takes pictures, says that they were drawn, and counts them."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import threading
from urllib.parse import urlsplit


class PageClient:
    """A client on a thread of its own. `pictures` and `bytes` count what arrived."""

    def __init__(self, url: str, width: int = 1280, height: int = 720) -> None:
        self.pictures = self.bytes = 0
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._read(1)
        assert b" 101 " in head.split(b"\r\n")[0], head
        self._send({"type": "view", "camera": 0, "width": width, "height": height, "details": True})
        self._stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the console closed the connection")
            data += more
        return bytes(data)

    def _send(self, message: dict[str, object]) -> None:
        payload = json.dumps(message).encode()
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0xFE]) + struct.pack(">H", len(payload))
        # A mask of zeros leaves the payload as it is.
        self._socket.sendall(b"\x81" + length + b"\0\0\0\0" + payload)

    def _run(self) -> None:
        try:
            while True:
                kind, length = self._read(2)
                if length == 126:
                    (length,) = struct.unpack(">H", self._read(2))
                elif length == 127:
                    (length,) = struct.unpack(">Q", self._read(8))
                payload = self._read(length)
                if kind & 15 != 2:
                    # A status comes every second; the answer to a ping is no reason for another one.
                    if b'"type":"status"' in payload[:40]:
                        self._send({"type": "ping", "sent": 0.0})
                    continue
                header = json.loads(payload[4 : 4 + int.from_bytes(payload[:4], "little")])
                self.pictures += 1
                self.bytes += length
                self._send({"type": "drawn", "picture": header["picture"]})
        except OSError:
            if not self._stopped.is_set():
                raise

    def close(self) -> None:
        self._stopped.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
