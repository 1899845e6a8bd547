"""A source of tensors whose device fails, for tests: called in the evaluator's child.

MIMYRIA_TEST_DEVICE holds one fault or a list of them (JSON); each happening adds its
kind as a line to the file `log`, so that a test can say that it really happened.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import analytic
from analytic import Model, tensor


class OutOfMemoryError(RuntimeError):
    """torch's own has this name."""


MESSAGES = {
    "memory": "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total ...",
    "illegal": "CUDA error: an illegal memory access was encountered",
    "gone": "CUDA error: no CUDA-capable device is detected",
}


class Faulty(Model):
    """`analytic.Model`, until a fault strikes."""

    def __init__(self, target):
        super().__init__(target)
        faults = json.loads(os.environ.get("MIMYRIA_TEST_DEVICE", "[]"))
        self.faults = faults if isinstance(faults, list) else [faults]
        self.drift = 0.0
        for fault in self.faults:
            if fault.get("loading") and due(fault):
                self.strike(fault, [], [])

    def predict(self, frames):
        answers = [tensor(self.target, frame) for frame in frames]
        for fault in self.faults:
            if struck(fault, frames):
                answers = self.strike(fault, frames, answers)
        return [answer * (1.0 + self.drift) for answer in answers]

    def strike(self, fault, frames, answers):
        kind = fault["kind"]
        happened(fault)
        if kind == "memory":
            raise OutOfMemoryError(MESSAGES[kind])
        if kind in MESSAGES:
            raise RuntimeError(MESSAGES[kind])
        if kind == "signal":
            os.kill(os.getpid(), fault["number"])
            time.sleep(60)
        if kind == "hang":
            time.sleep(600)
        if kind == "slow":
            time.sleep(0.1)
        if kind in ("assert", "fill"):
            on_the_gpu(kind)
        if kind == "drift":
            self.drift = 1e-3
        if kind == "glitch":  # this call only
            answers = [fault.get("factor", 1.5) * answer for answer in answers]
        if kind == "flicker":  # never the same
            answers = [(2.0 + len(lines(fault["log"]))) * a for a in answers]
        return spoilt(fault, frames, answers)


def on_the_gpu(kind):
    """The real thing, where there is one."""
    import torch

    if kind == "assert":
        index = torch.tensor([7], device="cuda")
        torch.zeros(3, device="cuda")[index].cpu()
    held = []
    while True:
        held.append(torch.empty(1 << 28, device="cuda"))


def spoilt(fault, frames, answers):
    """Answers that are wrong in themselves."""
    if fault["kind"] == "shape":
        return [answer[:-1] for answer in answers]
    if fault["kind"] in ("nan", "inf"):
        for frame, answer in zip(frames, answers, strict=True):
            if frame.step == fault["step"]:
                answer[2] = float(fault["kind"])
    return answers


def struck(fault, frames):
    """Whether a fault strikes these frames, and still may."""
    if fault.get("loading") or not due(fault):
        return False
    if "more than" in fault:
        return len(frames) > fault["more than"]
    steps = [frame.step for frame in frames]
    if fault.get("behind"):
        return max(steps) >= fault["step"]
    return fault["step"] in steps


def due(fault):
    """A fault with `times` strikes so often, over all processes."""
    times = fault.get("times")
    return times is None or lines(fault["log"]).count(label(fault)) < times


def label(fault):
    return f"{fault['kind']} {fault.get('step', '')}".strip()


def happened(fault):
    with Path(fault["log"]).open("a") as log:
        log.write(f"{label(fault)}\n")


def lines(log):
    path = Path(log)
    return path.read_text().splitlines() if path.exists() else []


def make(target, device):
    """What the evaluator's child is told to call."""
    return Faulty(target)


def models(**changes):
    """The section of the settings; one target, since each fault is one."""
    return {
        "apt": "python:faulty:make",
        "pgt": None,
        "device": "cpu",
        "search": str(analytic.HERE),
        **changes,
    }
