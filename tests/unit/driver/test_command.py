import pytest

from mimyria_driver import cli
from mimyria_driver.monitor import Monitor, Snapshot


def test_help_of_every_command_teaches(capsys):
    for command in ("run", "replay", "status", "hook"):
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0
        assert len(capsys.readouterr().out) > 200


def test_error_is_one_line_with_its_exit_code(tmp_path, capsys):
    assert cli.main(["run", str(tmp_path / "run.toml")]) == 78
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "cannot be read" in error
    assert len(error.splitlines()) == 1


def test_debug_lets_the_traceback_through(tmp_path):
    with pytest.raises(Exception, match="cannot be read"):
        cli.main(["--debug", "run", str(tmp_path / "run.toml")])


@pytest.mark.parametrize(
    ("state", "code"), [("running", 0), ("ended", 0), ("stopped", 0), ("failed", 2)]
)
def test_status_tells_by_its_exit_code_how_things_are(state, code, tmp_path, capsys):
    monitor = Monitor(tmp_path)
    monitor.tick(lambda: Snapshot(state=state, engine="LAMMPS", durable=7))
    assert cli.main(["status", str(tmp_path)]) == code
    assert "7 frames" in capsys.readouterr().out
    assert cli.main(["status", "--json", str(tmp_path)]) == code
    assert f'"state": "{state}"' in capsys.readouterr().out


def test_hook_is_one_file_that_compiles(tmp_path, capsys):
    path = tmp_path / "hook.py"
    assert cli.main(["hook", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    compile(path.read_text(), str(path), "exec")


def test_hook_that_cannot_be_written_is_an_error(tmp_path, capsys):
    assert cli.main(["hook", str(tmp_path / "no" / "hook.py")]) == 73
    assert "cannot be written" in capsys.readouterr().err


def test_settings_are_listed(capsys):
    assert cli.main(["settings"]) == 0
    assert "# temperature =" in capsys.readouterr().out


def test_replay_of_an_absent_trajectory_is_an_error(tmp_path, capsys):
    arguments = ["replay", str(tmp_path / "x.extxyz"), "--apt", "water-compact-apt"]
    arguments += ["--time-step", "0.5", "--directory", str(tmp_path / "run")]
    assert cli.main(arguments) == 65
    assert "there is no such trajectory" in capsys.readouterr().err
