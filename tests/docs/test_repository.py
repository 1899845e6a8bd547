"""What the repository promises about itself: README, Makefile, imports, the wheel."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def run(*command, **options):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, **options
    )


def test_the_readme_has_at_most_500_words():
    words = re.findall(r"\b\w[\w'’./-]*", (REPOSITORY / "README.md").read_text())
    assert len(words) <= 500


def test_the_readme_opens_with_the_two_commands_and_a_picture():
    opening = "\n".join((REPOSITORY / "README.md").read_text().splitlines()[:25])
    assert "make demo" in opening
    assert "make test" in opening
    picture = re.search(r"!\[.*?\]\((.*?)\)", opening)
    assert picture, "no picture near the top"
    assert (REPOSITORY / picture.group(1)).is_file()


def test_another_build_of_torch_can_be_chosen(tmp_path):
    """The wish reaches pip, before anything else could pull in another build."""
    wish = "torch==9.9.9 --index-url URL"
    shown = run(
        "make", "-n", "install", f"TORCH={wish}", f"VENV={tmp_path}/venv",
        cwd=REPOSITORY,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    pip_calls = [line for line in shown.stdout.splitlines() if "pip" in line]
    assert wish in pip_calls[0]
    assert "--editable" not in pip_calls[0]


def test_the_constraints_pin_everything_the_packages_ask_for():
    pinned = set(
        re.findall(r"^([\w-]+)==", (REPOSITORY / "constraints.txt").read_text(), re.M)
    )
    project = (REPOSITORY / "pyproject.toml").read_text()
    wanted = set(
        re.findall(
            r'"([a-z0-9-]+)(?:[<>=;, ]|")',
            project.split("[project.scripts]")[0].split("dependencies = [", 1)[1],
        )
    )
    # The Makefile says which torch and which triton.
    chosen = {"torch", "triton"}
    unpinned = (
        wanted - pinned - chosen - {"mimyria", "tomli", "python", "linux", "pytest"}
    )
    assert not unpinned, f"not in constraints.txt: {sorted(unpinned)}"


@pytest.mark.parametrize(
    "module",
    [
        "mimyria",
        "mimyria.spectra",
        "mimyria.correlators",
        "mimyria.cli",
        "mimyria.autotrain.loop",
        "mimyria_driver.service",
        "mimyria_driver.cli",
        "mimyria_driver.driven.serving",
        "mimyria_driver.inprocess.__main__",
        "mimyria_driver.lammps.hook",
        "mimyria_driver.observers.ase",
        "mimyria_driver.observers.torchsim",
    ],
)
def test_no_torch_is_loaded_where_none_is_needed(module):
    code = (
        f"import sys, {module}; "
        "heavy = {'torch', 'e3nn'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    import mimyria

    for name in mimyria.__all__:
        assert getattr(mimyria, name) is not None


def test_the_wheel_holds_both_packages_and_nothing_else_at_the_top(tmp_path):
    built = run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
        "--wheel-dir", str(tmp_path), str(REPOSITORY),
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("mimyria-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"mimyria", "mimyria_driver"}
    assert "mimyria/py.typed" in names
    assert "mimyria/models/fused/kernel.cpp" in names
    assert any(name.startswith("mimyria/models/shipped/") for name in names)
    assert any(name.startswith("mimyria_driver/inputs/lammps/") for name in names)
    assert "mimyria_driver/status.schema.json" in names
    assert "mimyria_driver/run.schema.json" in names
    for name in ("page.html", "page.js", "uplot/uPlot.esm.js", "uplot/LICENSE"):
        assert f"mimyria_driver/web/static/{name}" in names
    licences = [n for n in names if ".dist-info/" in n and n.endswith("LICENSE")]
    assert any("uplot" in name for name in licences)
    assert "mimyria_driver/inputs/slurm/mimyria.sbatch" in names
    assert "mimyria_driver/inputs/systemd/mimyria-driver@.service" in names


@pytest.mark.parametrize("command", ["mimyria", "mimyria_driver"])
def test_help_teaches_and_a_wrong_command_ends_with_64(command):
    shown = run(sys.executable, "-m", command, "--help")
    assert shown.returncode == 0
    assert len(shown.stdout.splitlines()) > 10
    wrong = run(sys.executable, "-m", command, "sepctrum")
    assert wrong.returncode == 64
    assert "invalid choice: 'sepctrum'" in wrong.stderr
