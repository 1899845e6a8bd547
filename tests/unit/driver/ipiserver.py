"""i-PI's end of its socket, for tests."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import numpy as np

from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.sources import Event

H = np.array([[20.0, 3.0, -2.0], [0.0, 21.0, 1.0], [0.0, 0.0, 22.0]])  # columns


def header(text: str) -> bytes:
    return text.encode().ljust(12)


class Server:
    """i-PI's side, one step at a time; the client runs when it is spoken to."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.peer: socket.socket | None = None

    def accept(self, client: IpiClient) -> None:
        self.drop()
        client.receive()
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(5.0)

    def drop(self) -> None:
        if self.peer is not None:
            self.peer.close()
        self.peer = None

    def say(self, client: IpiClient, data: bytes) -> list[Event]:
        assert self.peer is not None
        self.peer.sendall(data)
        return client.receive()

    def hear(self, n_bytes: int) -> bytes:
        assert self.peer is not None
        heard = b""
        while len(heard) < n_bytes:
            piece = self.peer.recv(n_bytes - len(heard))
            assert piece
            heard += piece
        return heard

    def hear_rest(self, n_atoms: int = 2) -> None:
        """What comes behind the header of a reply."""
        self.hear(8 + 4 + 24 * n_atoms + 72)
        (n_extra,) = struct.unpack("=i", self.hear(4))
        self.hear(n_extra)

    def request(
        self, client: IpiClient, positions: np.ndarray, rid: int = 3, text: str = " "
    ) -> list[Event]:
        """One consolidated request; the events of the client."""
        events = self.say(client, header("STATUS"))
        assert self.hear(12) == header("NEEDINIT")
        init = struct.pack("=ii", rid, len(text)) + text.encode()
        events += self.say(client, header("INIT") + init + header("STATUS"))
        assert self.hear(12) == header("READY")
        cells = H.tobytes() + np.linalg.inv(H).tobytes()
        n_atoms = struct.pack("=i", len(positions))
        events += self.say(
            client,
            header("POSDATA")
            + cells
            + n_atoms
            + positions.tobytes()
            + header("GETFORCE"),
        )
        size = 24 * len(positions)
        reply = self.hear(12 + 8 + 4 + size + 72)
        assert reply == header("FORCEREADY") + bytes(8) + n_atoms + bytes(size + 72)
        (n_extra,) = struct.unpack("=i", self.hear(4))
        said = json.loads(self.hear(n_extra))
        assert list(said) == ["mimyria", "seq", "rid"]
        assert said["rid"] == rid
        return events

    def close(self) -> None:
        self.drop()
        self.listener.close()
