"""The live page as a browser shows it: headless Chromium, at a desk and on a phone."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shownruns import STRETCH, ask, run_to_its_end, served, shown

from mimyria.cli import main
from mimyria.io.tables import read_table
from mimyria.spectra import find_band, find_bands
from mimyria.storage import read_result
from tests.chromium import Browser, chromium_program
from tests.integration.conftest import missing

DESK, PHONE = (1280, 900), (390, 844)
THERE = (
    "document.querySelector('#plot-ir canvas') "
    "&& document.querySelector('#bands tbody tr')"
)
BANNER = "document.querySelector('#banner').textContent"
BADGE = "document.querySelector('#badge-text').textContent"
TABLED = """[...document.querySelectorAll('#bands tr[data-spectrum=ir]')]
    .map(row => Number(row.dataset.position))"""
LABEL = "document.querySelector('#plot-ir').ariaLabel"


@pytest.fixture(scope="module")
def browser():
    program = chromium_program()
    if program is None:
        missing("there is no chromium")
    with Browser(program) as browser:
        yield browser


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run_to_its_end(tmp_path_factory.mktemp("shown") / "spectrum")


@pytest.fixture(scope="module")
def link(finished):
    with served(finished) as link:
        yield link


@pytest.fixture(scope="module")
def desk(browser, link):
    page = browser.open(link, *DESK)
    page.wait(THERE)
    return page


def position(page, spectrum, low, high):
    """Of the one band in a range, as the table of the page has it."""
    found = page.value(
        f"[...document.querySelectorAll('#bands tr[data-spectrum={spectrum}]')]"
        ".map(row => parseFloat(row.children[1].textContent))"
    )
    (one,) = [each for each in found if low < each < high]
    return one


def top_of_curve(page, low, high):
    """Where the curve that is drawn is highest, read with the arrow keys' text."""
    return page.value(f"""(() => {{
        const place = document.querySelector('#plot-ir');
        const best = {{at: 0, height: -Infinity}};
        for (let i = 0; i < 2000; i++) {{
            const key = new KeyboardEvent('keydown', {{key: 'ArrowRight'}});
            place.dispatchEvent(key);
            const text = document.querySelector('#readout-ir').textContent;
            const [, x, y] = text.match(/^(\\d+) cm⁻¹ · total ([\\d.]+)/) ?? [];
            if ({low} < x && x < {high} && y > best.height)
                Object.assign(best, {{at: Number(x), height: Number(y)}});
        }}
        return best.at;
    }})()""")


def check(page, link):
    """No word of the console, and nobody else was asked."""
    assert page.said == []
    origin = link.split("/?")[0] + "/"
    assert page.asked
    assert [a for a in page.asked if not a.startswith(origin)] == []


def test_the_position_of_the_stretch_is_that_of_the_result(
    desk, finished, link, capsys
):
    ir = read_result(finished / "spectrum.h5").spectra["ir"]
    wanted = find_band(ir, 3000.0, 3800.0).position
    assert position(desk, "ir", 3000, 3800) == pytest.approx(wanted, abs=0.06)
    assert wanted == pytest.approx(STRETCH, abs=40.0)
    spacing = ir.wavenumbers[1] - ir.wavenumbers[0]
    assert top_of_curve(desk, 3000, 3800) == pytest.approx(wanted, abs=2 * spacing + 1)
    capsys.readouterr()
    assert main(["spectrum", str(finished / "spectrum.h5")]) == 0
    table = capsys.readouterr().out.split("IR, ")[1].split("Raman")[0]
    assert f"{position(desk, 'ir', 3000, 3800):.1f}" in re.findall(r"\d+\.\d", table)
    check(desk, link)


def test_the_state_of_the_run_can_be_read(desk, finished):
    status = json.loads((finished / "status.json").read_text())
    text = desk.text()
    assert f"{status['durable']} frames" in text
    assert f"{status['temperature']:.0f} K" in text
    assert "The run has ended" in text
    result = read_result(finished / "spectrum.h5")
    verdicts = {"ok": "✓ ok", "look": "! look", "wrong": "✕ wrong"}
    shown_words = desk.value(
        "[...document.querySelectorAll('#checks .verdict')].map(e => e.textContent)"
    )
    assert sorted(shown_words) == sorted(
        verdicts[d.verdict] for d in result.diagnostics
    )
    assert desk.value("document.querySelectorAll('#convergence tbody tr').length") == 2


def test_a_part_is_switched_on_and_off(desk):
    drawn = "document.querySelector('#plot-ir canvas').toDataURL()"
    chips = "[...document.querySelectorAll('#parts-ir label')].map(e => e.textContent)"
    assert desk.value(chips) == ["total", "H", "O", "H × O"]
    before = desk.value(drawn)
    desk.click("#parts-ir label:nth-child(2) input")
    desk.wait(f"{drawn} !== {json.dumps(before)}")
    assert desk.value(
        "document.querySelector('#files-ir a').getAttribute('href').includes('parts=1')"
    )
    desk.click("#parts-ir label:nth-child(2) input")
    desk.wait(f"{drawn} === {json.dumps(before)}")


def test_geometry_resolution_and_experiment_can_be_chosen(desk):
    desk.click("#geometries input[value=raman_iso]")
    assert "isotropic" in desk.value(
        "document.querySelector('#unit-raman').textContent"
    )
    assert desk.value("document.querySelectorAll('#parts-raman label').length") == 4
    desk.value("""(() => {
        const list = document.querySelector('#resolution');
        list.value = list.options[1].value;
        list.dispatchEvent(new Event('change'));
    })()""")
    desk.wait(
        "performance.getEntriesByType('resource')"
        ".some(e => e.name.endsWith('?resolution=200'))"
    )
    desk.wait("document.querySelector('#files-all a').href.includes('resolution=200')")
    desk.wait("document.querySelector('#experiment option[value=water]')")
    desk.value("""(() => {
        const list = document.querySelector('#experiment');
        list.value = 'water';
        list.dispatchEvent(new Event('change'));
    })()""")
    assert "Experiment" in desk.value(
        "document.querySelector('#bands thead').textContent"
    )
    assert "3390" in desk.value("document.querySelector('#bands tbody').textContent")


def test_the_table_can_be_downloaded(browser, link, finished, tmp_path):
    page = browser.open(link, *DESK)
    page.wait(THERE)
    page.send(
        "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path)
    )
    context = page.send("Target.getTargetInfo")["targetInfo"]["browserContextId"]
    browser.send(
        "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path),
        browserContextId=context,
    )  # fmt: skip
    page.click("#files-all a")
    path = tmp_path / "spectra.csv"
    assert page.until(path.exists, 30.0)
    ir = read_result(finished / "spectrum.h5").spectra["ir"]
    assert read_table(path, column="ir").intensity == pytest.approx(ir.intensity)
    check(page, link)


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser, link):
    page = browser.open(link, *PHONE)
    page.wait(THERE)
    assert page.value("document.documentElement.scrollWidth") <= PHONE[0]
    wide = page.value("""[...document.querySelectorAll('table')].filter(
        t => t.offsetParent && t.scrollWidth > t.parentElement.clientWidth).length""")
    assert wide == 0
    width = page.value("document.querySelector('#plot-ir canvas').clientWidth")
    assert 250 < width <= PHONE[0]
    check(page, link)


def test_every_control_has_a_name_and_no_two_elements_one_id(desk):
    nameless = desk.value("""
        [...document.querySelectorAll('input, select, a, progress')]
        .filter(e => !(e.labels?.length && e.labels[0].textContent.trim())
                  && !e.textContent.trim() && !e.ariaLabel).map(e => e.outerHTML)""")
    assert nameless == []
    twice = desk.value("""(() => {
        const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
        return ids.filter((id, i) => ids.indexOf(id) !== i);
    })()""")
    assert twice == []


def test_the_page_says_that_its_server_is_gone_and_comes_back(
    browser, finished, tmp_path
):
    folder = tmp_path / "moved"
    folder.mkdir()
    for name in ("status.json", "events.jsonl", "spectrum.h5"):
        shutil.copy(finished / name, folder)
    with served(folder) as link:
        page = browser.open(link, *DESK)
        page.wait(THERE)
    page.wait(f"{BANNER}.includes('does not answer')")
    assert position(page, "ir", 3000, 3800) > 0, "what was there stays"
    port = link.split(":")[2].split("/")[0]
    with served(folder, int(port)) as again:
        assert again == link
        page.wait(f"{BANNER}.includes('The run has ended')")
        path = folder / "status.json"
        document = json.loads(path.read_text())
        down = {"state": "running", "mono": document["mono"] - 180.0}
        path.write_text(json.dumps(document | down))
        page.wait(f"{BANNER}.includes('The driver is down')")
        assert "minutes ago" in page.text()
        path.write_text("spoilt")
        page.wait(f"{BADGE} === 'no status'")
        assert position(page, "ir", 3000, 3800) > 0


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_demo_run_grows_before_the_eyes(browser, short_directory):
    """LAMMPS, the shipped networks: from the first result to the last."""
    folder = short_directory / "out"
    command = [sys.executable, "-m", "mimyria_driver", "demo", "--picoseconds", "0.8"]
    with subprocess.Popen(
        [*command, "--directory", str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as demo:
        run = folder / "lammps" / "water" / "spectrum"
        wait_for(run / "status.json", demo)
        with shown(run) as link:
            page = browser.open(link, *DESK)
            page.wait(f"{BADGE} === 'running'", 200)
            first = page.value(LABEL)  # of an early result, or of none yet
            assert demo.wait(280) == 0
            page.wait(f"{BADGE} === 'ended'")
            page.wait(f"{LABEL}.includes('from 0.8 ps')", 60)
            assert first != page.value(LABEL)
            ir = read_result(run / "spectrum.h5").spectra["ir"]
            wanted = find_band(ir, 3000.0, 4000.0).position
            assert 3400 < wanted < 3750
            step = 2 * (ir.wavenumbers[1] - ir.wavenumbers[0]) + 1
            assert top_of_curve(page, 3000, 4000) == pytest.approx(wanted, abs=step)
            # So short a run may have no band that stands out from its noise.
            standing_out = [band.position for band in find_bands(ir)]
            assert page.value(TABLED) == pytest.approx(standing_out, rel=1e-5)
            assert (
                ask(link, "/download/spectrum.h5")[2]
                == (run / "spectrum.h5").read_bytes()
            )
            check(page, link)


def wait_for(path: Path, process) -> None:
    deadline = time.monotonic() + 200
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
