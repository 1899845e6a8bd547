"""View: what people are told of the networks, and how a loop waits for them."""

from __future__ import annotations

from typing import Any

import zmq

from mimyria_driver.evaluator.interface import Networks

__all__ = ["about_networks", "poller_of"]


def about_networks(ready: dict[str, Any] | None) -> dict[str, Any]:
    """Values of a `Snapshot`: what is loaded, and on which device."""
    if ready is None:
        return {}
    models = {name: str(doc["sha256"]) for name, doc in ready["models"].items()}
    device, hardware = str(ready["device"]), str(ready["hardware"])
    return {"models": models, "device": device, "hardware": hardware}


def poller_of(networks: Networks) -> zmq.Poller:
    """A poller that wakes up when the networks have said or can be told something."""
    poller = zmq.Poller()
    events = zmq.POLLIN | (zmq.POLLOUT if networks.wants_write else 0)
    poller.register(networks.pollable, events)
    return poller
