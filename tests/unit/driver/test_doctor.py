"""What the doctor says of engines and journals: real ones, and scripts with a fault."""

import json
import os

import pytest

from mimyria.doctor import run_checks
from mimyria_driver import cli
from mimyria_driver.doctor import engines, parts, service_checks
from mimyria_driver.lammps import programs

SCRIPT = """\
#!/bin/sh
if [ "$1" = "-h" ]; then
cat <<'END'

Large-scale Atomic/Molecular Massively Parallel Simulator - {version}

Installed packages:

{packages}

List of individual style options included in this LAMMPS executable
END
else
echo 'mimyria: 3.9 {zmq}'
fi
"""


def put_lmp(folder, packages, version="1 Jan 2030", zmq="27.0", text=None):
    folder.mkdir(parents=True)
    path = folder / "lmp"
    path.write_text(text or SCRIPT.format(**locals()))
    path.chmod(0o755)
    return folder


@pytest.fixture
def on_path(monkeypatch):
    def put(*folders):
        monkeypatch.setenv("PATH", os.pathsep.join([*map(str, folders), "/usr/bin"]))
        monkeypatch.setattr(programs, "NAMES", ("lmp",))

    return put


def look(on_path, monkeypatch, *folders):
    on_path(*folders)
    # Only the scripts: the machine may have one of its own.
    found = [str(folder / "lmp") for folder in folders]
    monkeypatch.setattr(engines, "lammps_on_path", lambda: found)
    return {finding.name: finding for finding in engines.look_at_lmp()}


def test_lmp_with_its_python_package_is_well(on_path, monkeypatch, tmp_path):
    good = put_lmp(tmp_path / "a", "KSPACE MOLECULE\nPYTHON RIGID")
    found = look(on_path, monkeypatch, good)
    assert found["lmp"].verdict == "ok"
    assert found["lmp"].found == f"{good}/lmp: 1 Jan 2030, with PYTHON"
    assert found["Python in lmp"].found == "Python 3.9 with pyzmq 27.0"


def test_lmp_without_its_python_package_is_told_with_the_other_ways(
    on_path, monkeypatch, tmp_path
):
    bare = put_lmp(tmp_path / "a", "KSPACE MOLECULE\nML-PYTHONLESS RIGID")
    found = look(on_path, monkeypatch, bare)
    assert list(found) == ["lmp"]
    assert found["lmp"].verdict == "warning"
    assert "without PYTHON" in found["lmp"].found
    assert "lammps-dump" in found["lmp"].advice


def test_better_lmp_that_is_later_on_path_is_named(on_path, monkeypatch, tmp_path):
    bare = put_lmp(tmp_path / "a", "KSPACE")
    good = put_lmp(tmp_path / "b", "PYTHON")
    found = look(on_path, monkeypatch, bare, good)
    assert found["lmp"].verdict == "warning"
    assert found["lmp"].advice == f"start {good}/lmp by its path"
    assert found["lmp (later)"].found == f"{good}/lmp: 1 Jan 2030, with PYTHON"


def test_lmp_that_does_not_start_says_its_last_words(on_path, monkeypatch, tmp_path):
    text = (
        "#!/bin/sh\necho 'libmpi.so.12: cannot open shared object file' >&2\nexit 127\n"
    )
    broken = put_lmp(tmp_path / "a", "", text=text)
    found = look(on_path, monkeypatch, broken)["lmp"]
    assert found.verdict == "warning"
    assert "exit code 127: libmpi.so.12: cannot open shared object" in found.found


def test_lmp_whose_python_lacks_pyzmq_is_told(on_path, monkeypatch, tmp_path):
    good = put_lmp(tmp_path / "a", "PYTHON", zmq="none")
    found = look(on_path, monkeypatch, good)["Python in lmp"]
    assert found.verdict == "warning"
    assert found.found == "Python 3.9 without pyzmq"
    assert "install pyzmq for Python 3.9" in found.advice


def test_no_lmp_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = engines.look_at_lmp()
    assert found.verdict == "absent"


def test_programs_are_found_in_the_order_of_path_and_once(monkeypatch, tmp_path):
    first, second = (put_lmp(tmp_path / name, "PYTHON") for name in "ab")
    (tmp_path / "c").symlink_to(first)
    folders = [first, second, tmp_path / "c", tmp_path / "nowhere"]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    assert programs.lammps_on_path() == [f"{first}/lmp", f"{second}/lmp"]


def test_sockets_and_journal_of_this_machine_work(tmp_path):
    (sockets,) = parts.look_at_sockets()
    assert 0 < sockets.numbers["round_trip_s"] < 1.0
    journal, checksums = parts.look_at_journal(tmp_path)
    assert (journal.verdict, checksums.verdict) == ("ok", "ok")
    assert "read back the same" in journal.found
    assert list(tmp_path.iterdir()) == []


def test_disk_that_changes_a_number_is_a_problem(tmp_path, monkeypatch):
    read = parts.read_journal

    def altered(path):
        for record in read(path):
            if record.step == 400:
                record.currents.dipole[1] += 1e-15
            yield record

    monkeypatch.setattr(parts, "read_journal", altered)
    journal, _ = parts.look_at_journal(tmp_path)
    assert journal.verdict == "problem"
    assert "CHANGED" in journal.found


def test_folder_that_is_not_there_is_a_problem_of_one_line(tmp_path, monkeypatch):
    chosen = [c for c in service_checks(tmp_path / "nowhere") if c.title == "journal"]
    (part,) = run_checks(chosen)
    (finding,) = part.findings
    assert finding.verdict == "problem"
    assert finding.found.startswith("FileNotFoundError: ")
    monkeypatch.setattr(
        "mimyria_driver.cli.doctor.report", lambda found, **o: len(found)
    )
    assert cli.main(["doctor", "--quick"]) == len(service_checks(tmp_path)) - 1
    assert cli.main(["doctor"]) == len(service_checks(tmp_path))


@pytest.mark.engine
@pytest.mark.slow
def test_engines_of_this_machine_answer(tmp_path, capsys):
    """LAMMPS inside Python starts with the MPI library that we load for it."""
    assert cli.main(["doctor", "--json", "--directory", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {f["name"]: f for part in document["parts"] for f in part["findings"]}
    assert found["lammps"]["verdict"] == "ok"
    assert "starts in this Python" in found["lammps"]["found"]
    assert found["i-PI"]["verdict"] == "ok"
