"""The entry: help at once, unknown commands, exit codes."""

import subprocess
import sys

import pytest

from flexdan import __version__
from flexdan.cli.main import COMMANDS, main


def test_overview_and_version(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"flexdan {name} " in text for name in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"flexdan {__version__}\n"
    assert main(["data"]) == 0
    assert "train a network" not in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_and_needs_no_torch(command):
    """Without torch, and so without its second of importing, every help answers at once."""
    code = (
        "import sys\n"
        "from flexdan.cli.main import main\n"
        "try:\n"
        f"    main({[*command.split(), '--help']!r})\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'skimage', 'monai', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "examples:" in finished.stdout
    assert f"flexdan {command}" in finished.stdout


@pytest.mark.parametrize(
    ("argv", "hint"),
    [(["trian"], "did you mean train"), (["data", "imprt"], "did you mean data import"), (["xyz"], "the commands are")],
)
def test_an_unknown_command_is_refused_with_the_nearest(argv, hint, capsys):
    assert main(argv) == 2
    assert hint in capsys.readouterr().err


def test_mistakes_end_with_code_2_and_without_a_traceback(capsys, tmp_path):
    assert main(["train", "--data.manifest", str(tmp_path / "none.csv"), "-o", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("flexdan train: error: cannot read the manifest")
    assert "Traceback" not in error
    assert main(["train", "--sn_num_fcn_block", "4"]) == 2
    assert "did you mean sn_num_fcn_blocks" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["predict"])
    assert end.value.code == 2
