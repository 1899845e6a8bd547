"""Autotrain as a user runs it: whole, killed at random, and with what was left altered.

The reference code is an analytic molecule by way of ASE; networks, campaign, files and
processes are the real ones.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time

import numpy as np
import pytest

from mimyria.autotrain.evaluation import read_evaluation
from mimyria.autotrain.labelling import label
from mimyria.autotrain.settings import load_settings
from mimyria.autotrain.state import RunFolder, file_digest
from mimyria.io import LabelledFrame, read_extxyz, write_extxyz
from mimyria.models import load_model
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from tests.integration.autotrain.analytic import (
    SETTINGS,
    finish,
    molecule,
    start,
    write_run,
)

STOPPED = 75
# Steps that are done; of 14, so that kills fall into and between all kinds of them.
KILLED_BEHIND = (0, 1, 2, 3, 4, 5, 6, 8, 9, 10)
TBLITE = """\
kind = "tblite"
method = "GFN1-xTB"

[execution]
workers = 2
"""


def digests(folder):
    """Marks and summary, and all that they name."""
    run = RunFolder(folder)
    for mark in run.marks().values():
        run.verify(mark)
    found = {name: mark.digest for name, mark in run.marks().items()}
    return found | {"state.json": file_digest(folder / "state.json")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two cycles that nobody disturbed, and what it said."""
    folder = tmp_path_factory.mktemp("whole")
    write_run(folder)
    return folder, finish(start(folder, "run.toml"), STOPPED, 1200)


def test_frames_that_fail_are_replaced_and_named(tmp_path):
    text = SETTINGS.replace("[dynamics]", "retries = 0\n[dynamics]")
    settings = load_settings(write_run(tmp_path, text, n_frames=2, fails=0.4))
    frames = [
        LabelledFrame(molecule(11.0 * k, k), Tensors(), {"id": f"f{k}", "place": k})
        for k in (3, 4, 5)
    ]
    tired = [each.frame.positions[0, 0] * 1e4 % 1 < 0.4 for each in frames]
    assert tired[:2] == [True, False], "the first one is to fail"
    out = tmp_path / "step"
    out.mkdir()
    found = label(settings, frames, 1, out, lambda event: None)
    assert found.n_labelled == 1
    assert list(found.failed) == ["f3"]
    assert "the teacher is tired" in found.failed["f3"]
    (each,) = read_extxyz(out / "labels.extxyz")
    assert np.array_equal(each.frame.positions, frames[1].frame.positions)
    # Charges are conserved, and so is the sum over all atoms.
    assert np.abs(each.tensors.apt.sum(axis=0)).max() < 1e-6
    computed = list(read_extxyz(out / "computed.extxyz"))
    assert [each.info["id"] for each in computed] == ["f3", "f4"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_whole_run_leaves_models_spectra_and_a_report(whole):
    folder, said = whole
    run = folder / "run"
    assert "ended: autotrain.max_cycles = 2 cycles are done" in said
    assert re.search(
        r"cycle-002/train: 2 networks on 5 configurations; error on 3", said
    )
    frame = molecule(3.0, 0)
    kept, deployed = (
        load_model(run / "models" / f"joint.{kind}").predict_members([frame])[0]
        for kind in ("mimyria", "pt")
    )
    assert kept.shape == (2, 3, 36)
    assert np.abs(kept - deployed).max() < 1e-4 * np.abs(kept).max()
    result = read_result(run / "spectra" / "cycle-002.h5")
    assert {"ir", "raman_vv", "raman_iso"} <= set(result.spectra)
    assert result.interval == 2.0
    assert result.provenance["configurations"] == 5
    page = (run / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 9
    assert not re.search(r'(src|href)="?https?:', page)
    for words in ("What to do next", "Bands beside the experiment", "Provenance"):
        assert words in page
    assert "max_cycles" in page.split("What to do next")[1].split("</ul>")[0]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_frame_is_trained_on_and_tested_with(whole):
    run = whole[0] / "run"
    test, *cycles = (
        {each.info["id"]: each for each in read_extxyz(run / name / "computed.extxyz")}
        for name in ("test", "cycle-001/reference", "cycle-002/reference")
    )
    assert [len(test), *map(len, cycles)] == [3, 3, 2]
    places = [int(e.info["place"]) for each in (test, *cycles) for e in each.values()]
    assert len(set(places)) == 8
    held_out = places[:3]
    # 20 fs are ten frames.
    assert min(abs(a - b) for a in held_out for b in places[3:]) > 10
    data = list(read_extxyz(run / "cycle-002/train/data.extxyz"))
    assert [int(each.info["place"]) for each in data[:3]] == sorted(held_out) or (
        {int(each.info["place"]) for each in data[:3]} == set(held_out)
    )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_what_is_done_is_not_done_again_and_status_shows_it(whole):
    folder, _ = whole
    before = digests(folder / "run")
    log = (folder / "run/log.jsonl").read_bytes()
    finish(start(folder, "run.toml"), STOPPED)
    assert digests(folder / "run") == before
    assert (folder / "run/log.jsonl").read_bytes() == log
    for name in ("run", "run.toml"):
        said = finish(start(folder, "--status", name), 0)
        assert "over: autotrain.max_cycles = 2 cycles are done" in said
        assert re.search(r"^2 +5 +ir [\d.]+%, .* done$", said, re.M)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_other_targets_are_judged_anew_and_the_run_ends_or_goes_on_by_them(
    whole, tmp_path
):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    before = digests(folder / "run")
    loose = "[targets]\nir = 9.0\nraman = 9.0\nchange = 9.0\nstatistical_share = 99.0\n"
    settings, text = folder / "run.toml", (folder / "run.toml").read_text()
    settings.write_text(text + loose)
    said = finish(start(folder, settings), 0)
    once = "good enough once; another cycle must bear it out"
    assert f"cycle-001/judge: not yet good enough: ir: {once}; raman: {once}" in said
    sure = r"ε is at most [\d.]+% \(95%\), so that one cycle is enough"
    assert re.search(f"converged: good enough: ir: {sure}; raman: {sure}", said)
    after = digests(folder / "run")
    verdicts = {"cycle-001/judge", "cycle-002/judge", "state.json"}
    assert {name for name in after if after[name] != before[name]} == verdicts
    # A verdict of an older rule is made anew, too, without other work.
    mark = folder / "run/cycle-001/judge/done.json"
    mark.write_text(re.sub(r'"inputs": "\w+"', '"inputs": "older"', mark.read_text()))
    finish(start(folder, settings), 0)
    assert digests(folder / "run") == after
    # With other targets it is not good enough again, and goes on to the limit.
    more = text.replace("max_cycles = 2", "max_cycles = 3")
    settings.write_text(more + loose.replace("share = 99.0", "share = 1e-9"))
    said = finish(start(folder, settings), STOPPED, 1200)
    for number in (2, 3):
        missing = "not yet good enough: ir: statistics; raman: statistics"
        assert f"cycle-00{number}/judge: {missing}" in said
    assert "ended: autotrain.max_cycles = 3 cycles are done" in said


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_what_cannot_be_gone_on_with_is_refused_in_one_line(whole, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    settings, text = folder / "run.toml", (folder / "run.toml").read_text()
    settings.write_text(text.replace("members = 2", "members = 3"))
    assert "training.members was 2 when the run" in finish(start(folder, settings), 65)
    settings.write_text(text)
    teacher = folder / "teacher.py"
    teacher.write_text(teacher.read_text().replace("0.15", "0.16"))
    settings.write_text(text.replace("max_cycles = 2", "max_cycles = 3"))
    assert "the settings of ASE have changed" in finish(start(folder, settings), 65)
    settings.write_text(text)
    model = folder / "run/cycle-001/train/joint/committee.mimyria"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + b"?")
    assert "committee.mimyria was altered since" in finish(start(folder, settings), 65)
    model.write_bytes(content)
    with (folder / "traj.extxyz").open("a") as file:
        file.write("\n")
    assert "traj.extxyz has changed since the run" in finish(
        start(folder, settings), 65
    )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_another_trajectory_goes_on_from_labels_and_the_model_that_are_there(
    whole, tmp_path
):
    """As when data are added later: one cycle on top of what the first run has left."""
    first = whole[0] / "run"
    labels = first / "cycle-002/reference/labels.extxyz"
    known = tmp_path / "known.extxyz"
    shutil.copy(labels, known)
    text = SETTINGS.replace(
        "max_cycles = 2", 'max_cycles = 1\nknown = ["known.extxyz"]'
    )
    text = text.replace("first_frames = 3", "first_frames = 2")
    text = text.replace(
        "[training]", f'[training]\nstart = "{first}/models/joint.mimyria"'
    )
    settings = write_run(tmp_path, text, n_frames=140)
    said = finish(start(tmp_path, settings), STOPPED, 1200)
    assert "2 networks on 4 configurations" in said
    (data,) = (tmp_path / "run").glob("cycle-001/train/**/data.extxyz")
    there = [each.frame.positions for each in read_extxyz(known)]
    test, trained = np.split([each.frame.positions for each in read_extxyz(data)], [3])
    assert np.array_equal(trained[:2], there)
    for kept in (*test, *trained[2:]):
        assert not any(np.array_equal(kept, each) for each in there)
    curve = "cycle-001/train/joint/member-1/learning-curve.csv"
    new, continued = (
        np.genfromtxt(run / curve, delimiter=",", names=True)["loss"][1]
        for run in (first, tmp_path / "run")
    )
    assert continued < 0.1 * new, "its first epoch is not that of random weights"
    known.write_bytes(labels.read_bytes().replace(b"0", b"1", 1))
    assert "known.extxyz has changed since" in finish(start(tmp_path, settings), 65)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_ten_times_at_random_it_ends_with_the_same_result(whole, tmp_path):
    write_run(tmp_path)
    run = RunFolder(tmp_path / "run")
    spent = sum(RunFolder(whole[0] / "run").seconds().values())
    rng = random.Random(8)
    for n_done in KILLED_BEHIND:
        process = start(tmp_path, "run.toml")
        while len(run.marks()) < n_done and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.04) * spent)
        assert process.poll() is None, f"over before it was killed behind {n_done}"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(start(tmp_path, "run.toml"), STOPPED, 1200)
    assert digests(tmp_path / "run") == digests(whole[0] / "run")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_signal_ends_it_with_code_75_and_frames_of_the_pool_are_evaluated(
    whole, tmp_path
):
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    for name in ("cycle-002", "report.html", "state.json"):
        path = folder / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # As after a first cycle that saw the pool of a run beside it.
    shutil.rmtree(folder / "run/cycle-001/evaluate")
    shutil.rmtree(folder / "run/cycle-001/spectra")
    shutil.rmtree(folder / "run/cycle-001/judge")
    strange = molecule(10.0, 3)
    strange.positions[1] += 0.4
    write_extxyz(folder / "uncertain.extxyz", [LabelledFrame(strange, Tensors())])
    process = start(folder, "run.toml")
    time.sleep(6)
    process.send_signal(signal.SIGTERM)
    assert "stopped by a signal" in finish(process, STOPPED)
    said = finish(start(folder, "run.toml"), STOPPED, 1200)
    assert "cycle-001/evaluate: 150 frames and 1 of the pool" in said
    # Whether it is chosen is for the networks to say (tests/unit/autotrain).
    scored = read_evaluation(folder / "run/cycle-001/evaluate/pool").scores
    assert all(np.isfinite(each).all() and len(each) == 1 for each in scored.values())
    assert set(scored) == {"apt", "pgt"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_with_tight_binding_and_a_network_for_each_tensor(tmp_path):
    pytest.importorskip("tblite.interface")
    changes = (
        ("max_cycles = 2", 'max_cycles = 1\nmodel = "separate"'),
        ('kind = "ase"\nfactory = "teacher:make"', TBLITE),
    )
    text = SETTINGS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    write_run(tmp_path, text)
    said = finish(start(tmp_path, "run.toml"), STOPPED, 1200)
    assert "cycle-001/train: 2 networks on 3 configurations; error on 3 test" in said
    run = tmp_path / "run"
    made = {path.name for path in (run / "models").iterdir()}
    assert made == {"apt.mimyria", "apt.pt", "pgt.mimyria", "pgt.pt"}
    labels = list(read_extxyz(run / "cycle-001/reference/labels.extxyz"))
    assert len(labels) == 3
    for each in labels:
        assert each.info["code"].startswith("tblite")
        assert np.abs(each.tensors.apt.sum(axis=0)).max() < 1e-5
