"""Self-test: numbers that are known beforehand, from model to spectrum."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.integrate import trapezoid

from mimyria.correlators import Correlator
from mimyria.doctor.box import MODELS, shipped_model, threads, turned, water_box
from mimyria.doctor.finding import Finding
from mimyria.doctor.operatorspeed import median_seconds
from mimyria.frame import Array
from mimyria.spectra import compute_spectra, find_band
from mimyria.tensors import Tensors
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    IR_CONSTANT,
    SPEED_OF_LIGHT,
    angular_frequency,
)

__all__ = ["look_at_models", "look_at_pace", "look_at_spectrum"]

_DIGITS: Final = 4.0
_SUM: Final = 0.01  # of a tensor's largest component, for each atom
_ROTATION: Final = 1e-4

_LINES: Final = {1650.0: 0.01, 3400.0: 0.02}
"""Wavenumbers, cm⁻¹, and amplitudes of the dipole velocity, e Å/fs."""
_INTERVAL: Final = 2.0  # fs
_FRAMES: Final = 20000
_RESOLUTION: Final = 20.0  # cm⁻¹
_VOLUME: Final = 1000.0  # Å³
_TEMPERATURE: Final = 300.0  # K
_POSITION: Final = 0.5  # cm⁻¹
_INTENSITY: Final = 0.005
_PACE_SECONDS: Final = 1.5
_MOST_THREADS: Final = 8
_WORTH: Final = 1.3


def look_at_models() -> Iterator[Finding]:
    """Shipped models: their example, the sum rule, and a turned frame."""
    for kind, name in MODELS.items():
        start = time.perf_counter()
        with threads(1):
            model = shipped_model(kind)
        seconds = time.perf_counter() - start
        example = model.example
        answer = model.examine()
        assert example is not None
        assert answer is not None
        digits = _digits(answer, example.columns)
        yield Finding(
            f"{kind} model",
            f"{name} loaded on {model.device} in {seconds:.1f} s, its example "
            f"reproduced to {digits:.1f} digits",
            f"{_DIGITS:g} digits",
            "ok" if digits >= _DIGITS else "problem",
            "" if digits >= _DIGITS else "try MIMYRIA_KERNEL=torch, another torch",
            {"digits": digits, "load_s": seconds},
        )
        tensors = Tensors.from_columns(answer, model.targets)
        target = model.targets[0].name
        yield _sum_rule(kind, tensors, target, len(example.frame.numbers))
        yield _rotation(kind, target)


def _digits(found: Array, wanted: Array) -> float:
    """Digits that agree, of the largest component; at most 16."""
    deviation = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    return 16.0 if deviation == 0 else min(16.0, -math.log10(deviation))


def _sum_rule(kind: str, tensors: Tensors, target: str, n_atoms: int) -> Finding:
    """Σ_i of the tensors, which is zero for exact tensors of a neutral cell."""
    residual = np.abs(getattr(tensors.sum_rule_residual(), target)).max()
    size = np.abs(getattr(tensors, target)).max()
    share = float(residual / size / n_atoms)
    return Finding(
        f"{kind} sum rule",
        f"{residual:.2g} left over {n_atoms} atoms, {share:.1e} of a tensor for each",
        f"below {_SUM:g}",
        "ok" if share <= _SUM else "warning",
        "" if share <= _SUM else "the model or its arithmetic is not what it was",
        {"share": share},
    )


def _rotation(kind: str, target: str) -> Finding:
    """Tensors of a turned frame against turned tensors."""
    model = shipped_model(kind)
    assert model.example is not None
    frame = replace(model.example.frame, replica=-1)
    other, rotation = turned(frame)
    first, second = (model.predict([each])[0] for each in (frame, other))
    wanted = getattr(first.rotated(rotation), target)
    found = getattr(second, target)
    deviation = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    good = deviation <= _ROTATION
    return Finding(
        f"{kind} rotation",
        f"a turned frame gives turned tensors to {deviation:.1e}",
        f"{_ROTATION:g}",
        "ok" if good else "problem",
        "" if good else "the networks are wrong here: try MIMYRIA_KERNEL=torch",
        {"deviation": deviation},
    )


def look_at_spectrum() -> Iterator[Finding]:
    """Two sharp lines through correlator and transform, against the closed form.

    J(t) = Σ A cos(2π c ν t) has ∫ α n dν = K_IR A² / (4 c V T) at each line.
    """
    times = _INTERVAL * np.arange(_FRAMES)
    samples = np.zeros((_FRAMES, 3))
    for column, (wavenumber, amplitude) in enumerate(_LINES.items()):
        omega = angular_frequency(wavenumber)
        samples[:, column] = amplitude * np.cos(omega * times)
    n_lags = _FRAMES // 10
    pairs = [(0, 0), (1, 1), (2, 2)]
    correlator = Correlator(3, n_lags, _INTERVAL, DIPOLE_CORRELATION_UNIT, pairs)
    start = time.perf_counter()
    correlator.push(samples)
    spectrum = compute_spectra(
        correlator.result(),
        None,
        volume=_VOLUME,
        temperature=_TEMPERATURE,
        resolution=_RESOLUTION,
    )["ir"]
    seconds = time.perf_counter() - start
    for wavenumber, amplitude in _LINES.items():
        low, high = wavenumber - 5 * _RESOLUTION, wavenumber + 5 * _RESOLUTION
        part = spectrum.between(low, high)
        area = float(trapezoid(part.intensity, part.wavenumbers))
        exact = IR_CONSTANT * amplitude**2 / (4 * SPEED_OF_LIGHT)
        exact /= _VOLUME * _TEMPERATURE
        shift = find_band(spectrum, low, high).position - wavenumber
        yield _line(wavenumber, shift, area / exact - 1)
    yield Finding(
        "correlator",
        f"{_FRAMES} frames with {n_lags} lags and their spectrum in {seconds:.2f} s",
        numbers={"frames_per_s": _FRAMES / seconds},
    )


def _line(wavenumber: float, shift: float, error: float) -> Finding:
    good = abs(shift) <= _POSITION and abs(error) <= _INTENSITY
    return Finding(
        f"line at {wavenumber:.0f} cm⁻¹",
        f"position off by {shift:+.2g} cm⁻¹, intensity by {100 * error:+.2g} %",
        f"within {_POSITION:g} cm⁻¹ and {100 * _INTENSITY:g} %",
        "ok" if good else "problem",
        "" if good else "scipy or numpy give wrong numbers here: install others",
        {"shift_cm-1": shift, "intensity_error": error},
    )


def look_at_pace() -> Iterator[Finding]:
    """Frames per second of both networks for the water box of the examples."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    alone = _pace(1)
    device = shipped_model("IR").device
    days = 2.0 * alone * 86400 / 1e6  # ns, with a frame every 2 fs
    yield Finding(
        "pace",
        f"{alone:.3g} frames/s of IR and Raman for 192 atoms on {device}, one thread: "
        f"{days:.2g} ns a day with a frame every 2 fs",
        numbers={"frames_per_s": alone},
    )
    if device.type == "cpu" and processors > 1:
        number = min(processors, _MOST_THREADS)
        together = _pace(number)
        gain = together / alone
        if gain > _WORTH:
            advice = f"models.threads = {number}, where the engine leaves them free"
        else:
            advice = "" if gain > 1 / _WORTH else "leave models.threads at 1 here"
        yield Finding(
            f"pace, {number} threads",
            f"{together:.3g} frames/s, {gain:.2g} times as fast",
            advice=advice,
            numbers={"frames_per_s": together},
        )


def _pace(number: int) -> float:
    """Frames per second with so many threads."""
    frame = water_box(4)
    moved = np.random.default_rng(3).normal(scale=1e-3, size=frame.positions.shape)
    count = 0

    def evaluate() -> None:
        nonlocal count
        count += 1  # atoms move from frame to frame, as in a run
        present = replace(frame, positions=frame.positions + count % 50 * moved)
        for kind in MODELS:
            shipped_model(kind).predict([present])

    with threads(number):
        return 1.0 / median_seconds(evaluate, _PACE_SECONDS)
