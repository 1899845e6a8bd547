"""The server of the live page: who may ask, and what it says of a run folder."""

import contextlib
import http.client
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from instant import InstantEvaluator
from rich.console import Console
from shownruns import N_FRAMES, STRETCH, ask, run_to_its_end, served, shown

from mimyria.cli import main
from mimyria.errors import SettingsError
from mimyria.io.jcamp import read_jcamp
from mimyria.io.tables import read_table
from mimyria.spectra import compute_spectra, find_band
from mimyria.storage import read_result
from mimyria_driver import service
from mimyria_driver.cli import main as driver_command
from mimyria_driver.monitor import Monitor
from mimyria_driver.settings import MonitorSettings
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.status import read_status
from mimyria_driver.verdict import WORDS, judge
from mimyria_driver.web.address import open_port
from mimyria_driver.webpage import LINK_NAME, WebPage

INSIDE = ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the driver that has ended."""
    return run_to_its_end(tmp_path_factory.mktemp("finished") / "spectrum")


@pytest.fixture(scope="module")
def link(finished):
    with shown(finished, "--host", "proxy.example") as link:
        yield link


@pytest.fixture
def copy(finished, tmp_path):
    """A run folder that a test may spoil."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("status.json", "events.jsonl", "spectrum.h5"):
        shutil.copy(finished / name, folder)
    return folder


def last_heard(folder, hours):
    """Its last word becomes so old, in whole hours: the wording holds for a while."""
    path = folder / "status.json"
    status = json.loads(path.read_text())
    status |= {"time": time.time() - 3600.0 * hours, "boot": "an earlier one"}
    path.write_text(json.dumps(status))


def state_of(link):
    status, _, body = ask(link, "/api/state")
    assert status == 200
    return json.loads(body)


def spectra_of(link, query=""):
    status, _, body = ask(link, f"/api/spectra{query}")
    assert status == 200, body
    return json.loads(body)


# -- who may ask ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/api/state", "/api/spectra", "/static/page.js", "/download/spectrum.h5"],
)
def test_nothing_is_shown_without_the_token(link, path):
    status, headers, body = ask(link, path, Cookie="")
    assert status == 401
    assert b"wants its token" in body
    assert "set-cookie" not in headers


def test_a_wrong_token_is_refused_wherever_it_stands(link):
    wrong = "0" * 64
    port = link.split(":")[2].split("/")[0]
    assert ask(link, f"/?token={wrong}")[0] == 401
    assert ask(link, "/", Cookie=f"mimyria-{port}={wrong}")[0] == 401
    assert ask(link, "/", Cookie="", Authorization=f"Bearer {wrong}")[0] == 401
    assert ask(link, "/", Cookie="mimyria-1=" + link.split("token=")[1])[0] == 401


def test_the_link_gives_a_cookie_once_and_leaves_the_address_bar(link):
    status, headers, _ = ask(link, link.partition("/?")[1] + link.partition("/?")[2],
                             Cookie="")  # fmt: skip
    assert (status, headers["location"]) == (303, "./")
    assert re.fullmatch(
        r"mimyria-\d+=[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Lax",
        headers["set-cookie"],
    )
    status, _, body = ask(link, "/")
    assert status == 200
    assert link.split("token=")[1].encode() not in body
    token = link.split("token=")[1]
    assert ask(link, "/api/state", Cookie="", Authorization=f"Bearer {token}")[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", "", "10.0.0.1"]
)
def test_another_host_is_refused_also_with_the_token(link, host):
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(link.split(":")[2].split("/")[0])
    )
    connection.putrequest("GET", "/api/state", skip_host=True)
    connection.putheader("Host", host)
    connection.putheader("Authorization", "Bearer " + link.split("token=")[1])
    connection.endheaders()
    assert connection.getresponse().status in (400, 421)  # h11 refuses some itself
    connection.close()


@pytest.mark.parametrize(
    "host", ["localhost:9000", "127.0.0.1:1", "[::1]:8680", "proxy.example"]
)
def test_a_tunnel_may_have_any_port_and_a_proxy_its_name(link, host):
    assert ask(link, "/api/state", Host=host)[0] == 200


def test_other_sites_get_nothing_and_only_get_is_taken(link):
    for headers in (
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        status, answered, _ = ask(link, "/api/state", **headers)
        assert status == 403, headers
        assert not [name for name in answered if name.startswith("access-control")]
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, headers, _ = ask(link, "/api/state", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD"), method


def test_every_answer_has_the_headers_that_keep_a_browser_careful(link):
    for path, code in (("/", 200), ("/api/state", 200), ("/nothing", 404)):
        status, headers, _ = ask(link, path)
        assert status == code
        assert all(part in headers["content-security-policy"] for part in INSIDE)
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
    page = ask(link, "/")[2].decode()
    assert not re.search(r"<script(?![^>]*src=)|style=|\son\w+=|https?://", page)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../folder.py",
        "/static/%2e%2e/folder.py",
        "/static/..%2f..%2fpage.html",
        "/static//etc/passwd",
        "/../status.json",
        "/web.token",
        "/status.json",
        "/download/journal",
        "/download/figure.exe",
        "/download/spectrum.jdx?spectrum=../../status.json",
        "/download/figure.png?spectrum=/etc/passwd",
    ],
)
def test_no_path_leads_to_a_file_that_is_not_on_the_list(link, path):
    status, _, body = ask(link, path)
    assert status in (400, 404)
    assert len(body) < 300
    assert b"root:" not in body


# -- what it says ---------------------------------------------------------------------


def test_the_spectra_are_those_of_the_file(finished, link):
    result = read_result(finished / "spectrum.h5")
    found = spectra_of(link)
    assert set(found["spectra"]) == set(result.spectra)
    for name, spectrum in result.spectra.items():
        curve = found["spectra"][name]
        grid = np.array(found["grids"][curve["grid"]])
        assert grid == pytest.approx(spectrum.wavenumbers, rel=1e-5)
        intensity = np.array(curve["intensity"], dtype=float)
        np.testing.assert_allclose(intensity, spectrum.intensity, rtol=1e-5)
        error = np.array(curve["error"], dtype=float)
        np.testing.assert_allclose(error, spectrum.error, rtol=1e-5)
    (top,) = [b for b in found["spectra"]["ir"]["bands"] if b["position"] > 3000]
    ir = result.spectra["ir"]
    assert top["position"] == pytest.approx(find_band(ir, 3000, 4000).position, abs=0.1)
    assert top["position"] == pytest.approx(STRETCH, abs=30.0)
    parts = found["parts"]["ir"]
    assert [part["label"] for part in parts] == ["H", "O", "H × O"]
    total = np.sum([part["intensity"] for part in parts], axis=0)
    np.testing.assert_allclose(total, ir.intensity, atol=1e-4 * ir.intensity.max())
    assert [d["name"] for d in found["diagnostics"]] == [
        d.name for d in result.diagnostics
    ]
    assert {d["verdict"] for d in found["diagnostics"]} <= {"ok", "look", "wrong"}


def test_a_coarser_resolution_is_computed_from_the_correlations(finished, link):
    stored = spectra_of(link)
    assert stored["resolutions"] == [100.0, 200.0, 400.0]
    found = spectra_of(link, "?resolution=200")
    result = read_result(finished / "spectrum.h5")
    wanted = compute_spectra(
        result.dipole, None, volume=result.volume, temperature=result.temperature,
        resolution=200.0, max_wavenumber=float(result.spectra["ir"].wavenumbers[-1]),
    )["ir"]  # fmt: skip
    np.testing.assert_allclose(
        found["spectra"]["ir"]["intensity"], wanted.intensity, rtol=1e-5
    )
    for wrong in ("150", "-1", "nan", "1e999", "x"):
        status, _, body = ask(link, f"/api/spectra?resolution={wrong}")
        assert status == 400
        assert b"resolution must be" in body


def test_what_has_not_changed_is_not_sent_again(copy):
    last_heard(copy, hours=3.0)
    with shown(copy) as link:
        for path in ("/api/state", "/api/spectra", "/static/page.css"):
            _, headers, _ = ask(link, path)
            status, _, body = ask(link, path, If_None_Match=headers["etag"])
            assert (status, body) == (304, b""), path


def test_a_page_that_is_loaded_again_later_does_not_tell_an_old_age(copy):
    last_heard(copy, hours=3.0)
    with shown(copy) as link:
        _, headers, _ = ask(link, "/api/state")
        last_heard(copy, hours=5.0)
        status, _, body = ask(link, "/api/state", If_None_Match=headers["etag"])
    assert status == 200
    assert "5.0 h ago" in json.loads(body)["reason"]


def test_large_answers_are_compressed(link):
    _, headers, body = ask(link, "/api/spectra", Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 0.6 * len(ask(link, "/api/spectra")[2])


def test_downloads_are_what_the_commands_write(finished, link, tmp_path):
    result = read_result(finished / "spectrum.h5")
    ir = result.spectra["ir"]
    status, headers, body = ask(link, "/download/spectra.csv")
    assert status == 200
    assert headers["content-disposition"] == 'attachment; filename="spectra.csv"'
    written = str(tmp_path / "a.csv")
    assert main(["table", str(finished / "spectrum.h5"), "--csv", written]) == 0
    assert body.decode() == (tmp_path / "a.csv").read_text()
    table = tmp_path / "b.csv"
    table.write_bytes(body)
    np.testing.assert_allclose(read_table(table, column="ir").intensity, ir.intensity)
    jcamp = tmp_path / "b.jdx"
    jcamp.write_bytes(ask(link, "/download/spectrum.jdx?spectrum=ir")[2])
    top = ir.intensity.max()
    found = read_jcamp(jcamp)
    np.testing.assert_allclose(found.intensity, ir.intensity, atol=1e-8 * top)
    whole = ask(link, "/download/spectrum.h5")[2]
    assert whole == (finished / "spectrum.h5").read_bytes()


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("png", b"\x89PNG"),
        pytest.param("pdf", b"%PDF", marks=pytest.mark.slow),
        pytest.param("svg", b"<?xml", marks=pytest.mark.slow),
    ],
)
def test_a_figure_can_be_had_in_each_format(link, kind, start):
    query = "spectrum=ir&spectrum=raman_vv&parts=1&resolution=200"
    status, headers, body = ask(link, f"/download/figure.{kind}?{query}")
    assert (status, body[: len(start)]) == (200, start)
    assert f'"ir-raman_vv.{kind}"' in headers["content-disposition"]


def test_the_state_has_numbers_events_and_a_verdict(finished, link):
    state = state_of(link)
    assert state["name"] == finished.parent.name, "spectrum says little"
    code, reason = judge(read_status(finished))
    assert (state["driver"], state["verdict"]) == ("over", WORDS[code])
    assert state["reason"].split(" · ")[:-1] == reason.split(" · ")[:-1]  # but its age
    assert state["status"]["durable"] == N_FRAMES
    assert {band["name"] for band in state["status"]["bands"]} == {"ir", "raman_vv"}
    assert "timings" not in state["status"]
    assert [(e["level"], e["code"]) for e in state["events"]] == [("warning", "gap")]


# -- folders that change, and folders that are spoilt ---------------------------------


def show(folder, **values):
    monitor = Monitor(folder, console=Console(file=io.StringIO()))
    monitor.begin()
    monitor.tick(lambda: Snapshot(**values), force=True)
    monitor.close()


def test_a_folder_in_which_nothing_lies_yet_says_so_and_fills_up(finished, tmp_path):
    with served(tmp_path) as link:
        state = state_of(link)
        assert (state["driver"], state["verdict"]) == ("down", "UNKNOWN")
        assert "there is no status to read" in state["reason"]
        empty = spectra_of(link)
        assert empty["spectra"] is None
        assert "no result yet" in empty["problem"]
        assert ask(link, "/download/spectra.csv")[0] == 404
        assert ask(link, "/download/spectrum.h5")[0] == 404
        shutil.copy(finished / "spectrum.h5", tmp_path)
        show(tmp_path, state="running", durable=7)
        later = state_of(link)
        assert later["result"] != state["result"]
        assert (later["driver"], later["status"]["durable"]) == ("up", 7)
        assert spectra_of(link)["problem"] == ""


def test_a_driver_that_is_down_leaves_its_last_result(copy):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    show(copy, state="running", durable=9)
    path = copy / "status.json"
    document = json.loads(path.read_text())
    with served(copy) as link:
        path.write_text(json.dumps(document | {"process": dead.pid}))
        state = state_of(link)
        assert (state["driver"], state["verdict"]) == ("down", "CRIT")
        assert "gone without a word" in state["reason"]
        path.write_text(json.dumps(document | {"mono": document["mono"] - 200.0}))
        state = state_of(link)
        assert (state["driver"], state["verdict"]) == ("down", "UNKNOWN")
        assert 200.0 <= state["age"] < 260.0
        assert spectra_of(link)["spectra"]["ir"]["bands"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"state": 1, "age": "x"}', "\0"])
def test_a_spoilt_status_is_a_sentence(copy, content):
    (copy / "status.json").write_text(content)
    (copy / "events.jsonl").write_text('{"ts": 1}\nnonsense\n[]\n')
    with served(copy) as link:
        state = state_of(link)
        assert (state["verdict"], state["status"]) == ("UNKNOWN", None)
        assert state["reason"]
        assert state["events"] == []


def test_a_damaged_result_leaves_the_last_good_one_until_it_is_replaced(copy):
    path = copy / "spectrum.h5"
    with served(copy) as link:
        good = spectra_of(link)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        torn = spectra_of(link)
        assert "cannot be read" in torn["problem"]
        assert torn["spectra"] == good["spectra"]
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            file["spectra/ir/intensity"][10] *= 2  # its checksum is another one now
        os.utime(path)
        assert "does not match its SHA-256" in spectra_of(link)["problem"]
        beside = copy / "new"
        beside.write_bytes(whole)
        beside.replace(path)
        assert spectra_of(link) == good
        path.unlink()
        assert spectra_of(link)["problem"] == "The result is gone."


def test_a_result_is_read_once_however_often_it_is_asked_for(copy, monkeypatch):
    from mimyria_driver import latestresult

    read = []

    def counted(path):
        read.append(path)
        return read_result(path)

    monkeypatch.setattr(latestresult, "read_result", counted)
    with served(copy) as link:
        asked = [threading.Thread(target=spectra_of, args=(link,)) for _ in range(6)]
        for thread in asked:
            thread.start()
        for thread in asked:
            thread.join(60)
        spectra_of(link, "?resolution=200")
        ask(link, "/download/spectra.csv")
        assert len(read) == 1


def test_the_page_writes_nothing_but_its_token(copy):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    with served(copy) as link:
        for path in ("/", "/api/state", "/api/spectra", "/download/figure.png"):
            assert ask(link, path)[0] == 200
    after = {path.name: path.read_bytes() for path in copy.iterdir()}
    assert set(after) - set(before) == {"web.token"}
    assert (copy / "web.token").stat().st_mode & 0o777 == 0o600
    assert all(after[name] == data for name, data in before.items())


def test_a_token_that_others_can_read_is_refused(copy):
    (copy / "web.token").write_text("1" * 64)
    (copy / "web.token").chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-m", "mimyria_driver", "watch", str(copy), "--web"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 78
    assert "chmod 600" in done.stderr


def test_replicas_are_shown_as_a_whole(copy):
    each = [
        {"replica": n, "state": "running", "durable": 5, "step": 20, "in_flight": 0}
        for n in range(3)
    ]
    replicas = {"number": 3, "states": {"running": 3}, "each": each, "slowest": None,
                "slowest_frames": 5, "most_frames": 5, "silent": [], "failed": [],
                "n_silent": 0, "n_failed": 0}  # fmt: skip
    show(copy, state="running", engine="LAMMPS 1", durable=15, replicas=replicas)
    with served(copy) as link:
        state = state_of(link)
    assert state["status"]["replicas"]["number"] == 3
    assert "3 replicas (3 running)" in state["reason"]


# -- as the child of a driver ---------------------------------------------------------


@pytest.fixture
def page(copy):
    with WebPage(copy, 0) as page:
        page({})
        yield page


def answers(link, seconds=60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask(link, "/api/state")[0]
    return None


@pytest.mark.slow
def test_a_child_that_is_killed_is_followed_by_another_at_the_same_place(
    page, copy, monkeypatch
):
    path = copy / LINK_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    link = path.read_text().strip()
    assert answers(link) == 200
    first = page.process_id
    with open(f"/proc/{first}/cmdline", "rb") as file:
        assert link.split("token=")[1].encode() not in file.read()
    page._child.kill()
    page._child.wait()
    page({})
    assert page.process_id == first, "not at once: it may die again and again"
    monkeypatch.setattr(page, "_next_start", 0.0)
    page({})
    assert page.process_id != first
    assert answers(link) == 200


def test_a_child_ends_with_its_driver_however_that_ends(copy):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from mimyria_driver.webpage import WebPage\n"
        f"page = WebPage(Path({str(copy)!r}), 0).__enter__(); page({{}})\n"
        "print(page.process_id, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as driver:
        child = int(driver.stdout.readline())
        assert answers((copy / LINK_NAME).read_text().strip()) == 200
        driver.kill()
    deadline = time.monotonic() + 30
    while True:
        try:
            stat = Path(f"/proc/{child}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            break
        if stat.rpartition(")")[2].split()[0] == "Z":
            break  # nobody here takes it in
        assert time.monotonic() < deadline, "the page has outlived its driver"
        time.sleep(0.05)


def test_a_run_is_the_same_with_a_page_and_without(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "Evaluator", lambda *given: InstantEvaluator())
    from analytic import (
        ScriptedSource,
        arrivals,
        description,
        make_settings,
        trajectory,
    )
    from instant import fold_of

    from mimyria_driver.sources import Ended, Started

    folds = []
    for name, wanted in (("with", True), ("without", False)):
        events = [Started(description()), *arrivals(trajectory(40)), Ended("the end")]
        settings = make_settings(
            tmp_path / name, monitor={"web": wanted, "web_port": 0}
        )
        assert service.run(settings, source=ScriptedSource(events)) == 0
        folds.append(fold_of(tmp_path / name))
    assert folds[0] == folds[1]
    said = (tmp_path / "with" / "events.jsonl").read_text()
    assert "live page at http://127.0.0.1:" in said
    token = (tmp_path / "with" / "web.token").read_text().strip()
    assert token not in said
    assert not (tmp_path / "with" / LINK_NAME).exists(), "the page is closed again"
    assert not (tmp_path / "without" / "web.token").exists()


def test_a_missing_extra_is_one_line_and_the_run_goes_on(copy, monkeypatch, caplog):
    monkeypatch.setattr(
        "mimyria_driver.webpage._is_installed", lambda name: name != "starlette"
    )
    with WebPage(copy, 0) as page, caplog.at_level("WARNING"):
        page({})
        page({})
    assert [r.getMessage() for r in caplog.records] == [
        "no live page: it needs starlette; say: pip install 'mimyria[web]'. "
        "The run goes on without it"
    ]
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from mimyria_driver.cli import main\n"
        f"sys.exit(main(['watch', {str(copy)!r}, '--web']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        "error: the live page needs uvicorn, which is not installed. Say: "
        "pip install 'mimyria[web]'"
    ]


def test_settings_and_options_that_cannot_be_are_refused(copy, capsys):
    with pytest.raises(SettingsError, match=r"monitor\.web_port must be 0 to 65535"):
        MonitorSettings(web_port=70000)
    for words, said in (
        ([str(copy), "--port", "-1"], "--port must be 0 to 65535, but is -1."),
        ([str(copy / "absent")], "is no run folder (run.directory)."),
    ):
        assert driver_command(["watch", *words, "--web"]) == 78
        assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_left_to_who_has_it(copy):
    with open_port(0) as taken:
        port = taken.getsockname()[1]
        with served(copy, port) as link:
            assert f":{port}/" not in link
            assert ask(link, "/api/state")[0] == 200
