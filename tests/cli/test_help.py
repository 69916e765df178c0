"""What `--help` shows, at the width of any terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from aes_lipi import __version__
from aes_lipi.cli.commands import app
from aes_lipi.cli.flags import choices_in, completion_of
from aes_lipi.config import Variant
from aes_lipi.config.schema import NOT_GIVEN
from aes_lipi.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PROGRAM: Any = get_command(app)
COMMANDS = sorted(PROGRAM.commands)
FLAGS = [
    name
    for each in PROGRAM.commands["run"].params
    if not getattr(each, "hidden", False)
    for name in each.opts
]
FIELDS = [name for name in Variant.model_fields if name not in NOT_GIVEN]


@pytest.fixture
def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What is shown of help, on a terminal of a width."""

    def said(*words: str, width: int = 80) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        PROGRAM.main(words, prog_name="aes-lipi", standalone_mode=False)
        return capsys.readouterr().out

    return said


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_flag_is_whole_and_no_line_is_wider_than_the_terminal(
    width: int, shown: Callable[..., str]
) -> None:
    text = shown("run", "--help", "all", width=width)
    words = set(re.findall(r"--\w+", text))
    assert set(FLAGS) <= words
    longest = max(map(len, re.split(r"[\s]|(?<=\|)", text)))  # which stands alone, indented
    assert max(map(len, text.splitlines())) <= max(width, longest + width // 3)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_fits_in_80_columns(command: str, shown: Callable[..., str]) -> None:
    text = shown(command, "--help")
    assert text.startswith(f"Usage: aes-lipi {command} ")
    assert max(map(len, text.splitlines())) <= 80
    flags = [each.opts[0] for each in PROGRAM.commands[command].params]
    if command != "run":
        assert all(flag in text for flag in flags if flag.startswith("--"))


def test_common_flags_come_first_and_all_are_named(shown: Callable[..., str]) -> None:
    text = shown("run", "--help")
    common, rest = text.split("All flags by group")
    for flag in ("--rq", "--epochs", "--prune_method", "--seed", "--output_dir", "--jobs"):
        assert flag in common
    assert "--gradual_end" not in common
    assert len(common.splitlines()) < 80
    assert {name.lstrip("-") for name in FLAGS} - set(rest.split()) <= {
        *("configuration_file", "print_cli_only", "no_execution", "seed"),
    }


def test_help_on_a_group_on_a_flag_and_on_neither(shown: Callable[..., str]) -> None:
    group = shown("run", "--help", "pruning")
    assert "--gradual_end" in group
    assert "--epochs" not in group
    assert flat(shown("run", "--help", "prune-amount")).startswith("--prune_amount NUMBER Share")
    assert shown("run", "--help=--epochs") == shown("run", "-h", "epochs")
    with pytest.raises(UserError, match=r"--help epoch: no flag.*did you mean epochs\?; give all"):
        shown("run", "--help", "epoch")
    with pytest.raises(UserError, match=r"no group of flags; give all, study"):
        shown("run", "--help", "zzz")


def test_defaults_and_bounds_are_shown(shown: Callable[..., str]) -> None:
    text = flat(shown("run", "--help", "all"))
    for name in FIELDS:
        default = Variant.model_fields[name].default
        if default is not None:
            said = str(default).lower() if isinstance(default, bool) else str(default)
            one = flat(shown("run", "--help", name))
            assert one.endswith(f"default {said}]")
            assert one in text
    for name, bounds in (
        ("prune_probability", "[0 to 1, default 0.5]"),
        ("prune_amount", "[from 0, below 1, default 0.1]"),
        ("learning_rate", "[above 0, to 10, default 1e-05]"),
        ("population_size", "[from 1, default 10]"),
        ("n_dim", "[1 to 1,000,000]"),
        ("patience", "[from 1]"),
    ):
        assert flat(shown("run", "--help", name)).endswith(bounds)


def test_without_a_command_help_is_shown_and_version_is_told(shown: Callable[..., str]) -> None:
    bare = shown()
    assert bare == shown("--help")
    assert re.findall(r"^  (\w+)  ", bare, re.MULTILINE)[0] == "run"
    assert set(COMMANDS) <= set(bare.split())
    assert shown("--version") == f"aes-lipi {__version__}\n"


def test_choices_are_completed_in_lists_too() -> None:
    assert choices_in("None|random|MODULE:NAME") == ["None", "random"]
    assert choices_in("DIR|s3://BUCKET/DIR") == []
    complete = completion_of(["random", "roulette", "None"], listed=True)
    assert complete("ro") == ["roulette"]
    assert complete("None,r") == ["None,random", "None,roulette"]
    assert completion_of(lambda: ["a,b"])("a,") == ["a,b"]


@pytest.mark.parametrize(
    ("line", "among"),
    [
        ("run --rq best_of_l", {"best_of_lipi", "best_of_lipi_small"}),
        ("run --prune_m", {"--prune_method"}),
        ("run --prune_method None,act", {"None,activation", "None,activation_low"}),
        ("run --device c", {"cpu", "cuda"}),
        ("run --placement ", {"cell", "trial"}),
        ("export x --format s", {"safetensors"}),
        ("st", {"status"}),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_of_commands_flags_presets_and_values(
    line: str, among: set[str], shell: str
) -> None:
    words = f"aes-lipi {line}"
    told = CliRunner().invoke(
        app,
        prog_name="aes-lipi",
        env={
            "_AES_LIPI_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(line.split(" "))),
            "_TYPER_COMPLETE_ARGS": words,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        },
    )
    assert told.exit_code == 0
    lines = re.sub(r"_arguments '\*: :\(\(|\)\)'|\"", "", told.output).splitlines()
    assert {re.split(r"[\s:]", line)[0] for line in lines if line} == among


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="no bash")
def test_the_script_for_bash_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    told = CliRunner().invoke(app, ["--show-completion", "bash"], prog_name="aes-lipi")
    script = told.output
    assert "_AES_LIPI_COMPLETE=complete_bash" in script
    subprocess.run(["/bin/bash", "-n"], input=script, text=True, check=True)


def test_help_imports_nothing_large() -> None:
    program = (
        "import sys; sys.argv = ['aes-lipi', 'run', '--help']\n"
        "from aes_lipi.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'numpy', 'rich', 'yaml', 'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"
