"""What all commands share: help, messages, `--traceback`, and options that had another name."""

import subprocess
import sys
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from sketch_prompt.cli import app
from sketch_prompt.cli.command import OLD_OPTIONS, one_message

GROUP = typer.main.get_command(app)
COMMANDS = [(name,) for name in GROUP.commands if name != "data"] + [("data", "check")]
SHARED = {
    "--base-model": "--base-model",
    "--batch-size": "--batch-size",
    "--device": "--device",
    "--json": "--json",
    "--model": "-m",
    "--output": "-o",
}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def options_of(command):
    found = GROUP
    for name in command:
        found = found.commands[name]
    return [option.opts for option in found.params if option.param_type_name == "option"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_help_of_every_command_has_an_example(command, option):
    result = run(*command, option)
    assert result.exit_code == 0 and f"sketch-prompt {' '.join(command)}" in result.stdout.split("Example")[1]


def test_the_help_names_extras_and_is_wrapped_by_the_terminal():
    text = run("index", "--help").stdout
    assert "sketch-prompt[photos]" in text
    lines = text.split("Usage:")[1].split("Examples:")[0].strip().splitlines()[2:]
    assert all(len(line.strip()) > 50 for line in lines[2:-3])


@pytest.mark.parametrize("command", COMMANDS)
def test_shared_options_have_the_same_spellings_in_every_command(command):
    for option in options_of(command):
        for spelling in option:
            for name, short in SHARED.items():
                if spelling in (name, short):
                    assert {name, short} == set(option)


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "sketch_prompt", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("sketch-prompt ")


def test_completion_of_the_shell_can_be_installed():
    assert "--install-completion" in run("--help").stdout


def test_the_choices_of_the_commands_are_those_of_the_library():
    from sketch_prompt.data.benchmarks import SETTINGS
    from sketch_prompt.gallery.indexes import KINDS
    from sketch_prompt.vocabulary import IndexKind

    assert get_args(IndexKind) == KINDS
    for setting in SETTINGS:
        assert run("evaluate", "no/model", "--benchmark", "mini", "--setting", setting).exit_code == 1
    assert run("evaluate", "no/model", "--benchmark", "mini", "--setting", "other").exit_code == 2


@pytest.mark.parametrize(
    ("command", "old", "new"), [(name, *pair) for name in OLD_OPTIONS for pair in OLD_OPTIONS[name].items()]
)
def test_an_old_spelling_is_understood_with_a_note_and_not_in_the_help(command, old, new):
    result = run(command, old, "1", f"{old}=2", "--help")
    assert result.exit_code == 0, result.output
    assert result.stderr.count(f"Note: {old} is now called {new}.") == 2
    assert [new] in [option[:1] for option in options_of((command,))]
    assert not any(old in option for option in options_of((command,)))


@pytest.mark.parametrize("arguments", [("--traceback", "explain"), ("explain", "--traceback")])
def test_the_traceback_can_be_asked_for_before_or_after_the_command(arguments):
    result = run(*arguments, "sketch.png", "photo.png")
    assert type(result.exception) is ValueError and "nothing to write" in str(result.exception)
    assert type(run("explain", "sketch.png", "photo.png").exception) is SystemExit


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("wrong"), 1, "Error: wrong\n"),
        (FileNotFoundError("gone"), 1, "Error: gone\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (KeyboardInterrupt("saved"), 130, "saved\n"),
    ],
)
def test_what_a_user_can_cause_is_one_message_and_an_exit_code(error, code, message, capsys):
    with pytest.raises(SystemExit) as exit, one_message():
        raise error
    assert (exit.value.code, capsys.readouterr().err) == (code, message)


def test_errors_of_the_package_are_messages_and_bugs_say_how_to_see_their_traceback(capsys):
    from sketch_prompt.training.loop import DivergedError

    with pytest.raises(SystemExit), one_message():
        raise DivergedError("the loss is nan")
    assert capsys.readouterr().err == "Error: the loss is nan\n"
    for bug in (RuntimeError("odd"), KeyError("odd"), RecursionError("odd"), ImportError("odd")):
        with pytest.raises(SystemExit) as exit, one_message():
            raise bug
        assert exit.value.code == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith(f"Error: {type(bug).__name__}: ") and "odd" in lines[0]
        assert lines[1:] == [
            "This is probably a bug in sketch-prompt. Run the same command with --traceback to see where it happens."
        ]
        with pytest.raises(type(bug)), one_message(traceback=True):
            raise bug
    with pytest.raises(ValueError), one_message(traceback=True):
        raise ValueError


def test_a_warning_is_one_line(capsys):
    import warnings

    with one_message():
        warnings.warn("look", FutureWarning, stacklevel=1)
    assert capsys.readouterr().err == "Note: look\n"


def test_a_wrong_argument_that_a_command_finds_itself_is_exit_code_2(tmp_path):
    result = run("search", tmp_path)
    assert result.exit_code == 2 and "give a SKETCH, --text, or both" in result.stderr


def test_a_command_that_ends_with_an_exit_code_prints_no_error(tmp_path):
    result = run("data", "check", tmp_path, "--json")
    assert result.exit_code == 1 and "Error" not in result.stderr
