"""The pictures of docs/live.md: the page of a real demo run at three moments.

    python benchmarks/live_pictures.py --picoseconds 8 --pictures docs/pictures

It runs the demo (LAMMPS, the shipped networks), opens its page in a headless Chromium
as a user would, switches on the parts of the IR spectrum and the bands of the
experiment, and takes a picture early, in the middle and at the end, and one of the
middle on a phone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.chromium import Browser, Page, chromium_program

DESK = (1240, 1120)
PHONE = (390, 1400)
NO_DITHER = Image.Dither.NONE
PARTS = (0.1, 0.4)  # of the run, when the first two are taken
CHOICES = """
for (const box of document.querySelectorAll("#parts-ir input"))
    if (!box.checked) box.click();
const list = document.querySelector("#experiment");
list.value = "water";
list.dispatchEvent(new Event("change"));
"""
LAST_PICTURE = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picoseconds", type=float, default=8.0)
    parser.add_argument("--pictures", type=Path, default=Path("docs/pictures"))
    given = parser.parse_args()
    program = chromium_program()
    if program is None:
        sys.exit("there is no chromium; `make engines` installs it")
    with tempfile.TemporaryDirectory(prefix="mimyria-live-") as place:
        folder = Path(place) / "demo"
        with running("demo", "--picoseconds", str(given.picoseconds), place=folder):
            run = folder / "lammps" / "water" / "spectrum"
            wait_for(run / "status.json")
            with page_of(run) as link, Browser(program) as browser:
                take(browser, link, run, given.picoseconds, given.pictures)


def take(
    browser: Browser, link: str, run: Path, picoseconds: float, pictures: Path
) -> None:
    page = browser.open(link, *DESK)
    page.wait("document.querySelector('#experiment option[value=water]')")
    for name, part in zip(("early", "middle"), PARTS, strict=True):
        wanted = part * picoseconds
        assert page.until(lambda w=wanted: status(run)["sampled"] >= w, 1800)
        page.wait(ready(wanted), 120)
        page.value(CHOICES if name == "early" else "0")
        save(page, pictures / f"live-{name}.png")
    phone = browser.open(link, *PHONE)
    phone.wait("document.querySelector('#bands tbody tr')", 60)
    phone.value(CHOICES)
    save(phone, pictures / "live-phone.png")
    assert page.until(lambda: status(run)["state"] == "ended", 3600)
    page.wait("document.querySelector('#badge-text').textContent.includes('ended')", 60)
    page.wait(ready(picoseconds), LAST_PICTURE)
    save(page, pictures / "live-end.png")
    print(page.said + phone.said or "no word of the console")


def ready(picoseconds: float) -> str:
    """That the page shows a result of so long a run."""
    label = "document.querySelector('#plot-ir').ariaLabel"
    shown = f"Number({label}.match(/from ([\\d.]+)/)?.[1])"
    return (
        f"document.querySelector('#plot-ir canvas') && {shown} >= {0.9 * picoseconds}"
    )


def save(page: Page, path: Path) -> None:
    """A PNG as small as it can be."""
    page.until(lambda: False, 1.5)
    with tempfile.TemporaryDirectory() as place:
        raw = Path(place) / "raw.png"
        page.picture(raw)
        picture = Image.open(io.BytesIO(raw.read_bytes())).convert("RGB")
    few = picture.quantize(256, Image.Quantize.FASTOCTREE, dither=NO_DITHER)
    few.save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size} bytes")


def status(run: Path) -> dict[str, float | str]:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, float | str] = json.loads((run / "status.json").read_text())
        return found
    return {"sampled": 0.0, "state": ""}


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.5)


@contextlib.contextmanager
def running(command: str, *options: str, place: Path) -> Iterator[None]:
    words = [sys.executable, "-m", "mimyria_driver", command, *options]
    with subprocess.Popen([*words, "--directory", str(place)]) as process:
        try:
            yield
            process.wait(600)
        finally:
            process.terminate()


@contextlib.contextmanager
def page_of(run: Path) -> Iterator[str]:
    words = [sys.executable, "-m", "mimyria_driver", "watch", str(run), "--web"]
    with subprocess.Popen(
        [*words, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
