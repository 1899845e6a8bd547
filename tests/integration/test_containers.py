"""The images built without a daemon, and the three containers of docker/water-ipi run.

Both ask for what few machines have, and say what is missing:

    MIMYRIA_ROOTFS          folder of a Debian root file system, as made by
                            `debootstrap --variant=minbase bookworm FOLDER`
    MIMYRIA_BUILD_OPTIONS   further options of `buildah build`, as the secrets of pip
    a Docker daemon, docker-compose, and the images that `make images` has built
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
STEPS = 1200

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1800)]

Run = Callable[..., str]


def runner(*prefix: str) -> Run:
    """A command that has to succeed; what it says on stdout."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*prefix, *arguments], capture_output=True, text=True, check=False,
            env={**os.environ, "BUILDAH_FORMAT": "docker"}, cwd=REPOSITORY,
        )  # fmt: skip
        assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr)
        return done.stdout

    return run


# -- built ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """buildah with a store of its own, which holds a base image."""
    rootfs = os.environ.get("MIMYRIA_ROOTFS", "")
    if (
        shutil.which("buildah") is None
        or not Path(rootfs, "etc/debian_version").exists()
    ):
        pytest.skip("buildah and the rootfs of MIMYRIA_ROOTFS are not both there")
    store = tmp_path_factory.mktemp("store")
    run = runner("buildah", "--root", f"{store}/root", "--runroot", f"{store}/run")
    bare = run("from", "scratch").strip()
    run("add", "--quiet", bare, rootfs, "/")
    run("commit", "--quiet", "--rm", bare, "localhost/base:test")
    yield run
    run("rm", "--all")
    run("rmi", "--all", "--force")


def test_an_image_is_built_without_a_daemon(buildah: Run) -> None:
    """The one of i-PI, which needs no torch but takes most steps that all need."""
    options = shlex.split(os.environ.get("MIMYRIA_BUILD_OPTIONS", ""))
    buildah(
        "build", "--isolation", "chroot", *options, "--file", "docker/Dockerfile",
        "--target", "ipi", "--tag", "localhost/mimyria-ipi:test",
        "--build-arg", "BASE=localhost/base:test", "--build-arg", "UID=4711", ".",
    )  # fmt: skip
    said = json.loads(
        buildah("inspect", "--type", "image", "localhost/mimyria-ipi:test")
    )
    config = said["Docker"]["config"]
    assert config["User"] == "mimyria"
    assert config["Entrypoint"] == ["tini", "--"]
    label = "org.opencontainers.image.base.name"
    assert config["Labels"][label] == "localhost/base:test"

    work = buildah("from", "localhost/mimyria-ipi:test").strip()
    inside = [work, "--", "sh", "-c"]
    code = "import ipi, os, mimyria_driver.inprocess.__main__; print(os.getuid())"
    said = buildah("run", "--isolation", "chroot", *inside, f'python -c "{code}"')
    assert said.split() == ["4711"]
    left = "ls -d /etc/pip.conf /run/secrets/* /root/.cache /build /wheels 2>/dev/null"
    assert buildah("run", "--isolation", "chroot", *inside, f"{left}; :") == ""


# -- run ------------------------------------------------------------------------------


@pytest.fixture
def compose(short_directory: Path) -> Iterator[Run]:
    """docker-compose for a short run of docker/water-ipi, removed afterwards."""
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    for image in ("driver", "lammps", "ipi"):
        look = ["docker", "image", "inspect", f"mimyria-{image}:latest"]
        if (
            shutil.which("docker") is None
            or subprocess.run(look, capture_output=True, check=False).returncode
        ):
            pytest.skip(f"there is no Docker daemon with the image mimyria-{image}")
    inputs = short_directory / "input"
    shutil.copytree(DOCKER / "water-ipi", inputs)
    path = inputs / "input.xml"
    text = path.read_text()
    text = re.sub(r"(?<=<total_steps>)\d+", str(STEPS), text)
    path.write_text(
        text.replace("<checkpoint stride='1000'", "<checkpoint stride='200'")
    )
    script = inputs / "integrate.sh"
    script.write_text(script.read_text().replace("barrier=1000", "barrier=200"))
    for each in (short_directory, inputs, *inputs.iterdir()):
        each.chmod(0o755)  # the user of the images reads them
    further = short_directory / "short.yaml"
    mounted = {"volumes": [f"{inputs}:/input:ro"]}
    further.write_text(json.dumps({"services": {"ipi": mounted, "forces": mounted}}))
    run = runner(
        "docker-compose", "--project-name", f"mimyria-test-{os.getpid()}",
        "--file", str(DOCKER / "water-ipi" / "compose.yaml"), "--file", str(further),
    )  # fmt: skip
    yield run
    run("down", "--volumes", "--timeout", "5")


def until(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    """Wait for something that has to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(1.0)


def test_three_containers_make_a_spectrum_though_two_are_killed(compose: Run) -> None:
    docker = runner("docker")
    compose("up", "--detach", "--no-build")  # waits until who is waited for is healthy
    name = {
        each: compose("ps", "--quiet", each).strip()
        for each in ("driver", "ipi", "forces")
    }

    def look(service: str, what: str) -> str:
        return docker("inspect", "--format", "{{." + what + "}}", name[service]).strip()

    def frames() -> int:
        read = "import json; print(json.load(open('spectrum/status.json'))['durable'])"
        done = subprocess.run(
            ["docker", "exec", name["driver"], "python", "-c", read],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return int(done.stdout or 0)

    def kill(service: str, program: str) -> None:
        inside = ["sh", "-c", f"kill -9 $(pidof -x {program})"]
        # It may go down with its container, so what it returns says nothing.
        subprocess.run(["docker", "exec", name[service], *inside], check=False)
        until(lambda: look(service, "RestartCount") == "1")

    until(lambda: frames() > 20)
    assert look("driver", "State.Health.Status") == "healthy"
    kill("driver", "mimyria-driver")
    until(lambda: frames() > 60)
    kill("ipi", "python")
    for each in name:
        until(lambda each=each: look(each, "State.Status") == "exited")
        assert look(each, "State.ExitCode") == "0", each
    found = compose("run", "--rm", "driver", "verify", "spectrum")
    assert f"last step {STEPS}" in found
    assert "all is sound" in found
