"""Run folders for tests of the live page: real ones, with bands at known places."""

from __future__ import annotations

import asyncio
import http.client
import logging
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import uvicorn
from analytic import NUMBERS, STRIDE, TIME_STEP, ScriptedSource, arrivals, description
from analytic import make_settings as settings_of
from instant import serve_here

from mimyria.frame import Frame
from mimyria_driver.events import EventLog
from mimyria_driver.sources import Ended, Started
from mimyria_driver.web.address import link_of, open_port, take_token
from mimyria_driver.web.application import build_application

N_FRAMES = 500
STRETCH = 3400.0
"""cm⁻¹, where the hydrogens of `vibrations` swing."""
_BEND = 1640.0
_RADIANS_PER_FS = 2 * np.pi * 2.99792458e-5  # of one cm⁻¹


def vibrations(n_frames, seed=5):
    """Two molecules whose hydrogens swing at the stretch and at the bend of water.

    Each phase wanders, so that a band has a width and blocks of the run differ.
    """
    rng = np.random.default_rng(seed)
    base = rng.uniform(1.0, 5.0, (6, 3))
    centre = np.where((NUMBERS == 1)[:, None], [STRETCH, STRETCH, _BEND], _BEND)
    omega = centre * _RADIANS_PER_FS
    step = STRIDE * TIME_STEP
    wander = rng.normal(0.0, 0.12, (n_frames, 6, 3)).cumsum(axis=0)
    phase = omega * step * np.arange(n_frames)[:, None, None] + wander
    speed = np.where((NUMBERS == 1)[:, None], 0.022, 0.0055) * np.sqrt(2.0)
    cell = np.array([[6.0, 0.0, 0.0], [1.0, 6.5, 0.0], [0.5, -1.0, 7.0]])
    return [
        Frame(
            NUMBERS,
            base + speed / omega * np.sin(phase[i]),
            cell,
            speed * np.cos(phase[i]),
            i * STRIDE,
        )
        for i in range(n_frames)
    ]


def run_to_its_end(directory, n_frames=N_FRAMES, **sections):
    """A run of the driver in this process, until its engine has ended."""
    frames = vibrations(n_frames)
    events = [Started(description()), *arrivals(frames), Ended("the end")]
    spectrum = {"resolution": 100.0, "refresh": 1000.0, "temperature": 300.0}
    settings = settings_of(
        directory, **{"spectrum": spectrum, "groups": {"kind": "species"}} | sections
    )
    assert serve_here(settings, ScriptedSource(events)) == 0
    with EventLog(directory) as log:  # as `service.run` has it around the service
        log.start()
        logging.getLogger("mimyria_driver").warning(
            "frames are missing", extra={"code": "gap"}
        )
    return directory


@contextmanager
def served(folder, port=0):
    """The same server in this process, so that a test need not wait for Python."""
    listener, token = open_port(port), take_token(folder)
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        build_application(folder, token, port), lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener]))
    )
    thread.start()
    try:
        yield link_of(listener, token)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@contextmanager
def shown(directory, *options):
    """The command that shows a run folder; gives the link."""
    command = [sys.executable, "-m", "mimyria_driver", "watch", str(directory), "--web"]
    with subprocess.Popen(
        [*command, "--port", "0", *options], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            link = server.stdout.readline().strip()
            assert link.startswith("http://127.0.0.1:"), link
            yield link
        finally:
            server.terminate()
            server.communicate(timeout=30)


def ask(link, path, method="GET", **headers):
    """One request with the token of a link; status, headers, body."""
    place = urlsplit(link)
    token = place.query.removeprefix("token=")
    usual = {"Host": place.netloc, "Cookie": f"mimyria-{place.port}={token}"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in {**usual, **given}.items() if value}
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=60)
    try:
        connection.request(method, path, headers=sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read()
    finally:
        connection.close()
