"""Pipeline: the running result as a left fold over the records of the journal.

It knows records, correlators and spectra; no socket, no process and no clock. The fold
of a journal gives the same bits whether it was done while the run went on or later,
because every accumulator depends on the order of the records only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.correlators import Correlator
from mimyria.diagnostics import Diagnostic
from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.positivity import positivity
from mimyria.spectra import compute_spectra
from mimyria.spectra.elements import element_spectra
from mimyria.spectra.windows import lags_for_resolution, window_for_resolution
from mimyria.storage import Result
from mimyria.sumrules import SumRules
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    POLARIZABILITY_CORRELATION_UNIT,
)
from mimyria_driver.digests import Digests
from mimyria_driver.following import part_correlators, velocity_probes
from mimyria_driver.identity import Identity
from mimyria_driver.reading import live_records
from mimyria_driver.records import Record
from mimyria_driver.settings import SpectrumSettings

__all__ = ["Pipeline", "rebuild"]

_CHANNELS: Final = {"apt": ("dipole", 3), "pgt": ("polarizability", 6)}
_UNITS: Final = {
    "apt": DIPOLE_CORRELATION_UNIT,
    "pgt": POLARIZABILITY_CORRELATION_UNIT,
}

Scalar = str | int | float


class Pipeline:
    """Correlators and means of one run.

    Attributes:
        n_frames: records in the fold.
        n_segments: unbroken pieces of the series.
        n_missing: frames that are missing between the pieces.
        last_step: step of the last record, −1 before the first.
        digests: step and digest of the last records.
    """

    def __init__(self, identity: Identity, settings: SpectrumSettings) -> None:
        """Begin with no records.

        Raises:
            SettingsError: the lags are too few for the resolution.
        """
        self.identity = identity
        self.settings = settings
        self.n_lags = _number_of_lags(settings, identity.interval)
        self.n_frames = 0
        self.n_segments = 0
        self.n_missing = 0
        self.last_step = -1
        self.digests = Digests()
        self._volume = 0.0
        self._temperature = 0.0
        self._correlators = {
            target: Correlator(
                n,
                self.n_lags,
                identity.interval,
                _UNITS[target],
                keep_trajectories=True,
            )
            for target, (_, n) in _CHANNELS.items()
            if target in identity.models
        }
        self._rules = SumRules(identity.grouping)
        self._parts = part_correlators(identity, self.n_lags)
        self._velocities = velocity_probes(identity, self.n_lags)

    @property
    def sampled_time(self) -> float:
        """Simulated time in the fold, ps."""
        return self.n_frames * self.identity.interval * 1e-3

    @property
    def kinetic_temperature(self) -> float:
        """Mean kinetic temperature of the frames, K; NaN before the first."""
        return self._temperature / self.n_frames if self.n_frames else math.nan

    def push(self, record: Record) -> None:
        """Add one record."""
        self._border(record.step, record.previous_step)
        samples = {
            "apt": record.currents.dipole,
            "pgt": record.currents.polarizability,
        }
        for target, correlator in self._correlators.items():
            sample = samples[target]
            assert sample is not None
            correlator.push(sample)
        flat = record.contributions
        self._push_parts(
            _row(record.currents.dipole, 3),
            _row(record.currents.polarizability, 6),
            None if flat is None else flat[np.newaxis],
            self._drawn(np.array([record.time])),
        )
        self._count(record.step, record.digest, record.volume)
        self._temperature += record.kinetic_temperature

    def push_chunk(self, chunk: NDArray[np.void]) -> None:
        """Add records as they stand in the file; the same bits as one by one."""
        starts = np.flatnonzero(chunk["previous_step"] < 0)
        borders = [0, *(int(row) for row in starts if row > 0), len(chunk)]
        for begin, end in itertools.pairwise(borders):
            part = chunk[begin:end]
            if not len(part):
                continue
            first = part[0]
            self._border(int(first["step"]), int(first["previous_step"]))
            for target, correlator in self._correlators.items():
                correlator.push(np.ascontiguousarray(part[_CHANNELS[target][0]]))
            grouped = self.identity.grouping is not None
            self._push_parts(
                part["dipole"],
                part["polarizability"],
                np.ascontiguousarray(part["contributions"]) if grouped else None,
                self._drawn(part["time"]),
            )
            # One by one, as `push` does it: sums of numpy would round otherwise.
            columns = [
                part[name].tolist()
                for name in ("step", "digest", "volume", "kinetic_temperature")
            ]
            for step, digest, volume, temperature in zip(*columns, strict=True):
                self._count(step, digest, volume)
                self._temperature += temperature

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What the run says about its own soundness so far."""
        if not self.n_frames:
            return ()
        return self._rules.diagnostics(
            self.settings.temperature or self.kinetic_temperature
        )

    def relative_errors(self) -> dict[str, float]:
        """Relative standard error of one point of the IR and the VV Raman spectrum.

        r = sqrt(W / (N n_c)), W = Σ w²

        Source: variance of a lag-window estimate, docs/theory.md, eq. (8); VV is taken
        as isotropic, which has one independent component, the IR three.
        """
        if not self.n_frames:
            return {}
        window = window_for_resolution(
            self.settings.window,
            self.settings.resolution,
            self.n_lags,
            self.identity.interval,
        )
        power = 2.0 * float(np.sum(window.weights**2)) - 1.0
        components = {"apt": ("ir", 3), "pgt": ("raman", 1)}
        return {
            components[target][0]: math.sqrt(
                power / (self.n_frames * components[target][1])
            )
            for target in self._correlators
        }

    def result(self, provenance: Mapping[str, Scalar]) -> Result:
        """Everything so far, with its spectra; changes nothing.

        Args:
            provenance: what else to write into the file.
        """
        correlations = {
            target: correlator.result()
            for target, correlator in self._correlators.items()
        }
        temperature = self.settings.temperature or self.kinetic_temperature
        volume = self._volume / self.n_frames
        dipole, polarizability = correlations.get("apt"), correlations.get("pgt")
        spectra = compute_spectra(
            dipole,
            polarizability,
            volume=volume,
            temperature=temperature,
            resolution=self.settings.resolution,
            window=self.settings.window,
            max_wavenumber=self.settings.max_wavenumber,
        )
        velocities = None if self._velocities is None else self._velocities.result()
        if velocities is not None:
            spectra |= element_spectra(
                velocities,
                window=self.settings.window,
                resolution=self.settings.resolution,
                max_wavenumber=self.settings.max_wavenumber,
            )
        counts: dict[str, Scalar] = {
            "frames": self.n_frames,
            "segments": self.n_segments,
            "missing_frames": self.n_missing,
            "last_step": self.last_step,
            "kinetic_temperature": self.kinetic_temperature,
            "window": self.settings.window,
        }
        return Result(
            dipole=dipole,
            polarizability=polarizability,
            spectra=spectra,
            volume=volume,
            temperature=temperature,
            interval=self.identity.interval,
            provenance={**counts, **provenance},
            parts=None
            if self._parts is None
            else replace(
                self._parts.parts(dipole, polarizability),
                grouping=self.identity.grouping,
            ),
            diagnostics=self.diagnostics()
            + positivity(spectra, self.n_frames, self.n_lags),
            velocities=velocities,
        )

    def state(self) -> dict[str, dict[str, NDArray[Any]]]:
        """States of the correlators, to compare two folds."""
        states = {
            target: correlator.state()
            for target, correlator in self._correlators.items()
        }
        parts = {} if self._parts is None else self._parts.state()
        if self._velocities is not None:
            states["velocities"] = self._velocities.state()
        return {**states, **{f"parts {name}": state for name, state in parts.items()}}

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that is needed to go on, as plain arrays; `restore` inverts it."""
        digests = b"".join(digest for _, digest in self.digests)
        sums = (self._volume, self._temperature)
        counts = (self.n_frames, self.n_segments, self.n_missing, self.last_step)
        states = self.state() | {
            "rules": self._rules.state(),
            "pipeline": {
                "counts": np.array(counts, np.int64),
                "sums": np.array(sums, np.float64),
                "steps": np.array([step for step, _ in self.digests], np.int64),
                "digests": np.frombuffer(digests, np.uint8).reshape(-1, 8),
            },
        }
        return {
            f"{part}/{name}": array
            for part, arrays in states.items()
            for name, array in arrays.items()
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `snapshot` was taken, to the bit.

        Raises:
            FormatError: something is missing, or of another run.
            KeyError: likewise.
        """
        states: dict[str, dict[str, NDArray[Any]]] = {}
        for key, array in arrays.items():
            part, _, name = key.rpartition("/")
            states.setdefault(part, {})[name] = array
        for target in self._correlators:
            self._correlators[target] = Correlator.from_state(states[target])
        self._rules.restore(states["rules"])
        if self._parts is not None:
            prefix = "parts "
            parts = {k.removeprefix(prefix): v for k, v in states.items()}
            self._parts.restore(parts)
        if self._velocities is not None:
            self._velocities.restore(states["velocities"])
        own = states["pipeline"]
        self.n_frames, self.n_segments, self.n_missing, self.last_step = (
            int(number) for number in own["counts"]
        )
        self._volume, self._temperature = (float(number) for number in own["sums"])
        digests = [row.tobytes() for row in own["digests"]]
        self.digests = Digests(zip(own["steps"].tolist(), digests, strict=True))

    def _push_parts(
        self,
        dipole: Array,
        polarizability: Array,
        flat: Array | None,
        steps: NDArray[np.int64],
    ) -> None:
        self._rules.push(dipole, polarizability, flat)
        if self._parts is not None:
            assert flat is not None
            self._parts.push(flat, steps)
        if self._velocities is not None:
            assert flat is not None
            self._velocities.push(flat, steps)

    def _drawn(self, times: Array) -> NDArray[np.int64]:
        """Steps that random signs were drawn for: the engine's own.

        A run that was joined to another has other steps, but its times stay.
        """
        return np.rint(times / self.identity.time_step).astype(np.int64)

    def _border(self, step: int, previous_step: int) -> None:
        if previous_step >= 0:
            return
        if self.n_frames:
            for correlator in self._correlators.values():
                correlator.end_segment()
            if self._parts is not None:
                self._parts.end_segment()
            if self._velocities is not None:
                self._velocities.end_segment()
            apart = (step - self.last_step) // self.identity.stride
            self.n_missing += max(0, apart - 1)
        self.n_segments += 1

    def _count(self, step: int, digest: bytes, volume: float) -> None:
        self.n_frames += 1
        self.last_step = step
        self.digests.append(step, digest)
        self._volume += volume


def rebuild(path: Path, identity: Identity, settings: SpectrumSettings) -> Pipeline:
    """The fold of a whole journal.

    Raises:
        JournalError: the journal is damaged.
    """
    pipeline = Pipeline(identity, settings)
    for chunk in live_records(path):
        pipeline.push_chunk(chunk)
    return pipeline


def _row(sample: Array | None, size: int) -> Array:
    """One sample as a row; NaN where there is none."""
    return np.full((1, size), math.nan) if sample is None else sample[np.newaxis]


def _number_of_lags(settings: SpectrumSettings, interval: float) -> int:
    needed = lags_for_resolution(settings.window, settings.resolution, interval)
    if settings.max_lag is None:
        return needed
    n_lags = math.ceil(settings.max_lag / interval) + 1
    if n_lags < needed:
        raise SettingsError(
            f"spectrum.max_lag is {settings.max_lag:g} fs, but a resolution of "
            f"{settings.resolution:g} cm^-1 needs {(needed - 1) * interval:g} fs. "
            "Leave spectrum.max_lag away, or choose a coarser spectrum.resolution."
        )
    return n_lags
