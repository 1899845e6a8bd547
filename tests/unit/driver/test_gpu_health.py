"""What NVML says of a GPU, by a library that answers as its manual says."""

import io
import json
import logging
import socket
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console
from schemas import STATUS_SCHEMA, broken_rules

from mimyria_driver.conditions import Limits, conditions
from mimyria_driver.evaluator import messages
from mimyria_driver.evaluator.gpu import Gpu
from mimyria_driver.evaluator.gpustate import GpuState
from mimyria_driver.evaluator.worker import _Worker
from mimyria_driver.metrics import metrics_text
from mimyria_driver.monitor import Monitor
from mimyria_driver.snapshot import Snapshot

UUID = "3d1b7d6c-0000-4b8e-9c55-2f0f9a7d1e11"


class NVMLError(Exception):
    pass


def library(reasons=0, errors=0, *, missing=(), old=False):
    """A module `pynvml` with one GPU."""
    nvml = ModuleType("pynvml")
    nvml.NVMLError = NVMLError
    nvml.NVML_TEMPERATURE_GPU = 0
    nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    nvml.NVML_VOLATILE_ECC = 0
    nvml.nvmlInit = lambda: None

    def by_uuid(uuid):
        if uuid != f"GPU-{UUID}":
            raise NVMLError("Not Found")
        return "the GPU"

    nvml.nvmlDeviceGetHandleByUUID = by_uuid
    answers = {
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3 << 30, total=80 << 30),
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=93, memory=40),
        "nvmlDeviceGetCurrentClocksEventReasons": reasons,
        "nvmlDeviceGetTemperature": 61,
        "nvmlDeviceGetTotalEccErrors": errors,
    }
    if old:
        del answers["nvmlDeviceGetCurrentClocksEventReasons"]
        answers["nvmlDeviceGetCurrentClocksThrottleReasons"] = reasons
    wanted = {"nvmlDeviceGetTemperature": (0,), "nvmlDeviceGetTotalEccErrors": (1, 0)}
    for name, value in answers.items():

        def ask(handle, *arguments, name=name, value=value):
            assert (handle, arguments) == ("the GPU", wanted.get(name, ()))
            if name in missing:
                raise NVMLError("Not Supported")
            return value

        setattr(nvml, name, ask)
    return nvml


def torch_with(uuid):
    torch = ModuleType("torch")
    properties = SimpleNamespace(uuid=uuid)
    torch.cuda = SimpleNamespace(get_device_properties=lambda device: properties)
    return torch


def find(monkeypatch, nvml, uuid=UUID, device="cuda:0"):
    monkeypatch.setitem(sys.modules, "torch", torch_with(uuid))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return Gpu.find(device)


def test_gpu_is_found_by_its_identity_and_says_how_it_is(monkeypatch):
    gpu = find(monkeypatch, library(reasons=0x44, errors=2))
    assert gpu.look() == {
        "memory_used_bytes": 3 << 30,
        "memory_total_bytes": 80 << 30,
        "utilisation": 0.93,
        "temperature": 61,
        "slowed_by": ["power cap", "hardware thermal slowdown"],
        "ecc_uncorrected": 2,
    }


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("bit", "name"),
    [
        (0x04, "power cap"),
        (0x08, "hardware slowdown"),
        (0x20, "software thermal slowdown"),
        (0x40, "hardware thermal slowdown"),
        (0x80, "power brake"),
    ],
)
def test_each_reason_has_its_word_under_both_names(bit, name, old, monkeypatch):
    gpu = find(monkeypatch, library(reasons=bit | 0x01, old=old))
    assert gpu.look()["slowed_by"] == [name]


def test_where_there_is_no_library_or_no_such_gpu_there_is_nothing(monkeypatch):
    assert find(monkeypatch, None) is None  # the import fails
    assert find(monkeypatch, library(), uuid="another") is None
    assert find(monkeypatch, library(), device="cpu") is None
    broken = library()

    def fail():
        raise NVMLError("Driver Not Loaded")

    broken.nvmlInit = fail
    assert find(monkeypatch, broken) is None


def test_what_a_gpu_does_not_have_is_none(monkeypatch):
    names = [name for name in dir(library()) if name.startswith("nvmlDeviceGet")]
    gpu = find(monkeypatch, library(missing=names))
    said = gpu.look()
    assert said.pop("slowed_by") == []
    assert set(said.values()) == {None}


def test_real_library_has_what_is_asked_for():
    pynvml = pytest.importorskip("pynvml")
    for name in dir(library()):
        if name.lower().startswith("nvml"):
            assert hasattr(pynvml, name), name
    for name, bit in {
        "SwPowerCap": 0x04,
        "HwSlowdown": 0x08,
        "SwThermalSlowdown": 0x20,
        "HwThermalSlowdown": 0x40,
        "HwPowerBrakeSlowdown": 0x80,
    }.items():
        assert bit in (
            getattr(pynvml, f"nvmlClocksEventReason{name}", None),
            getattr(pynvml, f"nvmlClocksThrottleReason{name}", None),
        )


def test_evaluator_says_it_now_and_then(monkeypatch):
    here, there = socket.socketpair()
    with here, there:
        worker = _Worker(there)
        worker.say_gpu()  # no GPU
        worker._gpu = find(monkeypatch, library(errors=1))
        worker.say_gpu()
        worker.say_gpu()  # not yet again
        ((kind, body),) = messages.Splitter().feed(here.recv(1 << 16))
    assert kind == messages.GPU
    assert json.loads(body)["ecc_uncorrected"] == 1


def said(**changes):
    return {**Gpu(library(), "the GPU").look(), **changes}


def test_new_uncorrected_errors_are_an_event_each(caplog):
    state = GpuState()
    assert state.present is None
    with caplog.at_level(logging.WARNING):
        # Those from before, the same, three more, none known, a new driver, one more.
        for errors in (5, 5, 8, None, 0, 1):
            state.take(said(ecc_uncorrected=errors))
    assert [record.code for record in caplog.records] == ["gpu_ecc"] * 2
    assert [record.fields["errors"] for record in caplog.records] == [3, 1]
    assert state.present["ecc_uncorrected"] == 1


def test_state_that_is_a_minute_old_is_not_that_of_now(monkeypatch):
    state = GpuState()
    state.take(said())
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 59)
    assert state.present is not None
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert state.present is None


def status_with(tmp_path, gpu):
    monitor = Monitor(tmp_path, console=Console(file=io.StringIO()))
    monitor.tick(lambda: Snapshot(state="running", gpu=gpu), force=True)
    return json.loads((tmp_path / "status.json").read_text())


def test_status_and_metrics_have_it_where_it_is_known(tmp_path):
    status = status_with(tmp_path, said(temperature=None, slowed_by=["power brake"]))
    assert broken_rules(status, STATUS_SCHEMA) == []
    text = metrics_text(status)
    assert f"mimyria_gpu_memory_used_bytes {3 << 30}\n" in text
    assert "mimyria_gpu_utilisation_ratio 0.93\n" in text
    assert 'mimyria_gpu_slowed_state{reason="power brake"} 1\n' in text
    assert "mimyria_gpu_ecc_uncorrected_total 0\n" in text
    assert "celsius" not in text
    nothing = status_with(tmp_path, None)
    assert broken_rules(nothing, STATUS_SCHEMA) == []
    assert "gpu" not in metrics_text(nothing)


@pytest.mark.parametrize(
    ("slowed", "text"),
    [
        ([], None),
        (["power cap"], None),
        (["power cap", "power brake"], "the GPU is slowed: power brake"),
        (["hardware slowdown"], "the GPU is slowed: hardware slowdown"),
    ],
)
def test_slowdown_but_for_the_limit_of_power_is_a_warning(slowed, text, tmp_path):
    status = status_with(tmp_path, said(slowed_by=slowed))
    found = [c for c in conditions(status, Limits()) if c["name"] == "gpu_slow"]
    wanted = {"name": "gpu_slow", "level": "warning", "text": text}
    assert found == ([wanted] if text else [])
