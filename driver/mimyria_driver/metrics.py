"""Metrics: a status in the text format of Prometheus, and `metrics.prom`.

Units are base units, names and labels stay; alert on timestamps that are old or absent,
not on rates. The file is what node_exporter's textfile collector reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mimyria.files import replace_file
from mimyria_driver.labels import label
from mimyria_driver.snapshot import FINAL, LIVE

__all__ = ["STATES", "MetricsFile", "metrics_text"]

STATES: Final = (*LIVE, *FINAL)

_COUNTERS: Final = {
    "frames_received_total": ("received", "Frames that arrived."),
    "frames_evaluated_total": ("evaluated", "Frames that the networks answered."),
    "frames_duplicate_total": ("duplicates", "Frames that came again, dropped."),
    "eval_restarts_total": ("restarts", "Evaluators that were replaced."),
    "frames_repeated_total": ("repeated", "Frames evaluated twice, and the same."),
    "frames_unusual_total": ("unusual", "Frames far outside of those before."),
    "device_mismatches_total": ("mismatches", "Times that numbers were wrong."),
}
"""Since the start of the process."""

_GAUGES: Final = {
    "frames_durable": ("durable", "Frames in the journal."),
    "gap_frames": ("missing", "Frames missing between segments."),
    "segments": ("segments", "Unbroken pieces of the series."),
    "uncertain_frames": ("uncertain", "Frames that the networks do not know."),
    "durable_step": ("step", "Last MD step in the series, -1: none."),
    "lag_frames": ("in_flight", "Frames received and not yet durable."),
    "sampled_picoseconds": ("sampled", "Simulated time in the series."),
    "kinetic_temperature_kelvin": ("temperature", "Mean kinetic temperature."),
    "log_bytes": ("journal_bytes", "Size of the journal."),
    "start_timestamp_seconds": ("started", "When the process started."),
    "status_timestamp_seconds": ("time", "When these numbers were taken."),
    "process_resident_memory_bytes": ("memory_bytes", "Memory of the front process."),
    "process_open_fds": ("open_files", "Open files of the front process."),
}
_OF_REPLICAS: Final = {
    "replica_frames_durable": ("durable", "Frames in the journal of a replica."),
    "replica_durable_step": ("step", "Its last MD step in the series, -1: none."),
    "replica_lag_frames": ("in_flight", "Its frames received and not yet durable."),
    "replica_segments": ("segments", "Unbroken pieces of its series."),
    "replica_gap_frames": ("missing", "Frames missing between them."),
    "replica_uncertain_frames": ("uncertain", "Those that the networks do not know."),
}
"""Names of their own, so that a sum over labels never counts a frame twice."""
_GPU: Final = {
    "gpu_memory_used_bytes": ("memory_used_bytes", "Memory of the GPU in use."),
    "gpu_memory_size_bytes": ("memory_total_bytes", "Memory of the GPU."),
    "gpu_utilisation_ratio": ("utilisation", "Part of the time that it was busy."),
    "gpu_temperature_celsius": ("temperature", "Temperature of the GPU."),
}
_HISTOGRAMS: Final = {
    "ack_seconds": ("acknowledge", "From the arrival of a frame until it is on disk."),
    "eval_seconds": ("evaluate", "Evaluation of a batch."),
    "fsync_seconds": ("sync", "Making records durable."),
}


def metrics_text(status: Mapping[str, Any]) -> str:
    """All metrics of a status."""
    lines: list[str] = []
    for name, (key, about) in _COUNTERS.items():
        lines += _family(name, "counter", about, {"": status.get(key)})
    lines += _family(
        "rollbacks_total",
        "counter",
        "Times that the engine went back and took another way.",
        {"": status["events"].get("rollback", 0)},
    )
    events = {_labels(code=code): n for code, n in sorted(status["events"].items())}
    lines += _family("events_total", "counter", "Lines of events.jsonl.", events)
    for name, (key, about) in _GAUGES.items():
        lines += _family(name, "gauge", about, {"": status.get(key)})
    lines += _derived(status)
    lines += _replicas(status)
    for name, (key, about) in _HISTOGRAMS.items():
        if key in status["timings"]:
            lines += _histogram(name, about, status["timings"][key])
    return "\n".join(lines) + "\n"


def _derived(status: Mapping[str, Any]) -> Iterator[str]:
    """What a status says in another form."""
    moved = status["time"] - status["progress_age"]
    age = status["result_age"]
    disk = status["disk"]
    job = status["job"] or {}
    hours = disk["hours_to_full"]
    single = {
        "last_durable_timestamp_seconds": (
            moved if status["durable"] else None,
            "When a frame became durable for the last time.",
        ),
        "last_snapshot_timestamp_seconds": (
            None if age is None else status["time"] - age,
            "When the result was written.",
        ),
        "disk_free_bytes": (disk["free_bytes"], "Room on the disk."),
        "disk_full_seconds": (
            None if hours is None else 3600 * hours,
            "Until the disk is full, at the present pace.",
        ),
        "job_left_seconds": (
            job.get("seconds_left"),
            "Until the time limit of the job.",
        ),
    }
    for name, (value, about) in single.items():
        yield from _family(name, "gauge", about, {"": value})
    yield from _gpu(status["gpu"] or {})
    errors = {_labels(spectrum=name): e for name, e in status["errors"].items()}
    about = "Relative statistical error of each kind of spectrum."
    yield from _family("relative_error_ratio", "gauge", about, errors)
    states = {_labels(state=each): int(each == status["state"]) for each in STATES}
    yield from _family("state", "gauge", "1 for the present state.", states)
    found = {
        _labels(condition=each["name"], level=each["level"]): 1
        for each in status["conditions"]
    }
    yield from _family(
        "condition", "gauge", "1 for what is not as it should be.", found
    )
    digests = {f"{name}_sha256": sha for name, sha in status["models"].items()}
    labels = _labels(
        version=status["version"], engine=status["engine"], run=status["run_id"],
        **digests,
    )  # fmt: skip
    yield from _family("info", "gauge", "What runs; always 1.", {labels: 1})


def _replicas(status: Mapping[str, Any]) -> Iterator[str]:
    """Of each replica, where a run has some."""
    rows = {
        _labels(replica=label(row["replica"])): row
        for row in (status.get("replicas") or {}).get("each", ())
    }
    for name, (key, about) in _OF_REPLICAS.items():
        values = {labels: row[key] for labels, row in rows.items()}
        yield from _family(name, "gauge", about, values)
    moved = {
        labels: status["time"] - row["progress_age"]
        for labels, row in rows.items()
        if row["durable"]
    }
    about = "When a frame of it became durable for the last time."
    name = "replica_last_durable_timestamp_seconds"
    yield from _family(name, "gauge", about, moved)
    states = {
        _labels(replica=label(row["replica"]), state=row["state"]): 1
        for row in rows.values()
    }
    yield from _family("replica_state", "gauge", "1 for its present state.", states)


def _gpu(gpu: Mapping[str, Any]) -> Iterator[str]:
    """What is known of the GPU, which may be nothing."""
    for name, (key, about) in _GPU.items():
        yield from _family(name, "gauge", about, {"": gpu.get(key)})
    slowed = {_labels(reason=reason): 1 for reason in gpu.get("slowed_by", ())}
    yield from _family("gpu_slowed_state", "gauge", "1 for each reason.", slowed)
    errors = {"": gpu.get("ecc_uncorrected")}
    about = "Errors of the memory that could not be corrected."
    yield from _family("gpu_ecc_uncorrected_total", "counter", about, errors)


def _family(
    name: str, kind: str, about: str, values: Mapping[str, float | None]
) -> list[str]:
    """One metric with its values by labels; nothing where none is known."""
    known = {labels: value for labels, value in values.items() if value is not None}
    if not known:
        return []
    full = f"mimyria_{name}"
    return [
        f"# HELP {full} {about}",
        f"# TYPE {full} {kind}",
        *(f"{full}{labels} {_number(value)}" for labels, value in known.items()),
    ]


def _histogram(name: str, about: str, summary: Mapping[str, Any]) -> list[str]:
    full = f"mimyria_{name}"
    count = summary["count"]
    buckets = [(_number(border), below) for border, below in summary["buckets"]]
    return [
        f"# HELP {full} {about}",
        f"# TYPE {full} histogram",
        *(
            f"{full}_bucket{_labels(le=le)} {n}"
            for le, n in [*buckets, ("+Inf", count)]
        ),
        f"{full}_sum {_number(summary['sum'])}",
        f"{full}_count {count}",
    ]


def _labels(**labels: str) -> str:
    inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
    return f"{{{inside}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


class MetricsFile:
    """Keeps a file up to date: whole at every moment, for its owner alone."""

    def __init__(self, path: Path) -> None:
        """Nothing is written yet."""
        self._path = path

    def __call__(self, status: Mapping[str, Any]) -> None:
        """Write what a status says."""
        content = metrics_text(status).encode()
        replace_file(self._path, content, private=True, durable=False)
