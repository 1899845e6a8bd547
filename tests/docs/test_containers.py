"""docker/: Dockerfile and compose files say what is there, and agree.

That the images are built and run is shown by tests/integration/test_containers.py.
"""

import os
import re
import shlex
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
EXAMPLES = sorted(DOCKER.glob("*/compose.yaml"))
IMAGES = ("driver", "lammps", "ipi")
CONSTRAINTS = (REPOSITORY / "constraints.txt").read_text()
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def instructions():
    """(stage, instruction, arguments) of each line of the Dockerfile, in order."""
    text = (DOCKER / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    stage = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, arguments = line.partition(" ")
        if word == "FROM":
            stage = arguments.split(" AS ")[1]
        yield stage, word, arguments.strip()


def of(word, stage=None):
    """Arguments of all instructions of a kind."""
    return [a for s, w, a in instructions() if w == word and stage in (None, s)]


def compose(path):
    return yaml.safe_load(path.read_text())


def services():
    return [
        pytest.param(path, name, id=f"{path.parent.name}-{name}")
        for path in EXAMPLES
        for name in compose(path)["services"]
    ]


def makefile_default(name):
    return re.search(rf"^{name} \?= (.*)$", MAKEFILE, re.M).group(1)


def is_ignored(name):
    """What .dockerignore says of a path: the last line that fits decides."""
    ignored = False
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch(name, pattern):
            ignored = not line.startswith("!")
    return ignored


# -- the Dockerfile --------------------------------------------------------------------


def test_everything_that_is_copied_is_there_and_reaches_the_builder():
    copied = [shlex.split(each)[:-1] for each in of("COPY") if "--from" not in each]
    sources = [source for each in copied for source in each]
    assert {"mimyria", "driver", "inputs", "pyproject.toml"} <= set(sources)
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert not is_ignored(source), source
    assert is_ignored(".git")
    assert is_ignored("tests")


def test_stages_are_made_before_they_are_used():
    known = {"${BASE}"}
    for _, word, arguments in instructions():
        if word == "FROM":
            source, _, stage = arguments.partition(" AS ")
            assert source in known
            known.add(stage)
        elif word == "COPY" and "--from=" in arguments:
            assert re.search(r"--from=([\w-]+)", arguments).group(1) in known
    assert set(IMAGES) <= known


def test_versions_are_those_of_the_makefile_and_of_the_constraints():
    (torch,) = of("ARG", "with-torch")
    assert torch == f'TORCH="{makefile_default("TORCH")}"'
    assert of("ARG")[0] == f"BASE={makefile_default('BASE')}"
    assert makefile_default("IMAGES").split() == list(IMAGES)
    installing = [c for line in of("RUN") for c in line.split("&&") if "pip inst" in c]
    assert len(installing) == 4
    for command in installing:
        named = shlex.split(command.partition("pip install ")[2])
        if named == ["$TORCH"] or "--no-deps" in named:
            continue
        assert named[:2] == ["--constraint", "constraints.txt"]
        for name in named[2:]:
            assert "/wheels/" in name or re.search(rf"^{name}==", CONSTRAINTS, re.M)


def test_extras_of_the_driver_are_there():
    project = (REPOSITORY / "pyproject.toml").read_text()
    (wanted,) = re.findall(r"mimyria-\*\.whl\)\[([\w,]+)\]", " ".join(of("RUN")))
    for name in wanted.split(","):
        assert re.search(rf"^{name} = \[", project, re.M)


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_as_their_user_under_an_init_and_say_what_they_are(image):
    assert of("USER", image) == ["mimyria"]
    assert [*of("ENTRYPOINT", "base"), *of("ENTRYPOINT", image)][-1].startswith(
        '["tini", "--"'
    )
    (label,) = of("LABEL", image)
    for name in ("title", "licenses", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{name}=" in label


def test_settings_of_pip_never_reach_a_layer():
    """They come as secrets, where pip runs; nothing copies or declares them."""
    text = (DOCKER / "Dockerfile").read_text()
    assert not re.search(
        r"^\s*(ARG|ENV|COPY).*(pip\.conf|PIP_INDEX|INDEX_URL)", text, re.M
    )
    for line in of("RUN"):
        if "pip install" in line or "pip wheel" in line:
            assert line.startswith("--mount=type=secret,id=pip,target=/etc/pip.conf")


def health_command():
    (check,) = of("HEALTHCHECK", "driver")
    return check.partition("CMD ")[2]


@pytest.mark.parametrize(
    ("code", "healthy"), [(0, True), (1, True), (2, False), (3, False)]
)
def test_a_warning_is_healthy_and_a_failure_is_not(code, healthy, tmp_path):
    """Docker knows healthy and not; the codes are those of `mimyria-driver status`."""
    stand_in = tmp_path / "mimyria-driver"
    stand_in.write_text(
        f'#!/bin/sh\n[ "$*" = "status spectrum" ] || exit 9\nexit {code}\n'
    )
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", health_command()],
        env={"PATH": f"{tmp_path}:{os.defpath}", "MIMYRIA_RUN": "spectrum"},
        check=False,
    )
    assert (done.returncode == 0) is healthy


# -- the compose files -----------------------------------------------------------------


def test_there_is_an_example_for_each_way():
    assert [each.parent.name for each in EXAMPLES] == ["water-ipi", "water-lammps"]
    assert all(len(compose(each)["services"]) == 3 for each in EXAMPLES)


@pytest.mark.parametrize(("path", "name"), services())
def test_services_have_no_rights_and_no_network(path, name):
    service = compose(path)["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["network_mode"] == "none"
    # The driver has ended 5 s after a signal.
    assert service["stop_grace_period"] == "15s"
    assert not {"privileged", "ports", "user", "cap_add", "devices"} & set(service)


@pytest.mark.parametrize(("path", "name"), services())
def test_services_use_what_is_there(path, name):
    document = compose(path)
    service = document["services"][name]
    build = service.get("build", document["services"]["driver"]["build"])
    assert (path.parent / build["context"]).resolve() == REPOSITORY
    assert (REPOSITORY / build["dockerfile"]).is_file()
    assert service["image"] == f"mimyria-{build['target']}:${{TAG:-latest}}"
    assert build["target"] in IMAGES
    assert build["args"]["BASE"] == f"${{BASE:-{makefile_default('BASE')}}}"
    assert set(build["args"]) <= {each.partition("=")[0] for each in of("ARG")}
    for volume in service["volumes"]:
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (path.parent / source).exists(), source
            assert volume.endswith(":ro"), "an input must not be written"
        else:
            assert source in document["volumes"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda each: each.parent.name)
def test_only_the_driver_can_write_in_its_run_folder(path):
    writers = []
    for name, service in compose(path)["services"].items():
        mounted = [v for v in service["volumes"] if ":/work/spectrum" in v]
        writers += [name for v in mounted if not v.endswith(":ro")]
    assert writers == ["driver"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda each: each.parent.name)
def test_who_is_waited_for_has_a_health_check(path):
    found = compose(path)["services"]
    waited = 0
    for service in found.values():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            target = found[other]["image"].removeprefix("mimyria-").split(":")[0]
            assert "healthcheck" in found[other] or of("HEALTHCHECK", target)
            waited += 1
    assert waited == 2


def test_the_socket_of_ipi_has_one_name():
    folder = DOCKER / "water-ipi"
    address = re.search(r"<address>(.*)</address>", (folder / "input.xml").read_text())
    for name in ("integrate.sh", "forces.sh", "compose.yaml"):
        assert f"/tmp/ipi_{address.group(1)}" in (folder / name).read_text()
    assert f"-var address {address.group(1)} " in (folder / "forces.sh").read_text()


def test_the_barrier_is_the_stride_of_the_checkpoints():
    folder = DOCKER / "water-ipi"
    stride = re.search(
        r"<checkpoint stride='(\d+)'", (folder / "input.xml").read_text()
    )
    assert f"barrier={stride.group(1)}\n" in (folder / "integrate.sh").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "further"), [("water-lammps", ()), ("water-ipi", ("compose.cuda.yaml",))]
)
def test_compose_takes_the_files(name, further):
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    files = [DOCKER / name / "compose.yaml", *(DOCKER / each for each in further)]
    options = [word for each in files for word in ("-f", str(each))]
    done = subprocess.run(
        [program, *options, "config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    driver = yaml.safe_load(done.stdout)["services"]["driver"]
    tag = "cuda" if further else "latest"
    assert driver["image"] == f"mimyria-driver:{tag}"
    assert ("deploy" in driver) == bool(further)


# -- how i-PI begins -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checkpoints", "begin"),
    [
        ({}, "/input/input.xml"),
        ({"0": "</simulation>", "1": "</simulation>"}, "water.chk_1"),
        ({"0": "</simulation>", "1": "<system> torn"}, "water.chk_0"),
        ({"9": "</simulation>", "10": "</simulation>"}, "water.chk_10"),
    ],
    ids=["new", "goes on", "torn", "by time, not by name"],
)
def test_ipi_goes_on_from_the_last_whole_checkpoint(checkpoints, begin, tmp_path):
    for age, (number, end) in enumerate(checkpoints.items()):
        path = tmp_path / f"water.chk_{number}"
        path.write_text(f"<simulation>\n{end}\n")
        os.utime(path, (1000 + age, 1000 + age))
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\necho "runs $*"\n')
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(DOCKER / "water-ipi" / "integrate.sh")],
        cwd=tmp_path, env={"PATH": f"{tmp_path}:{os.defpath}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"runs -m mimyria_driver.inprocess {begin} " in done.stdout
