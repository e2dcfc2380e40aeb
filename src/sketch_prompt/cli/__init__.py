"""The `sketch-prompt` command.

A command reads its arguments and calls the package. It imports the package inside its function, so that the help
appears at once. Results go to stdout, progress and messages to stderr. The exit code is 1 for an error, 2 for a wrong
argument and 130 for Ctrl-C.
"""

import atexit
import gc
from typing import Annotated

import typer

import sketch_prompt

from .command import Command, Settings
from .evaluation import check_data, compare, evaluate, reproduce
from .gallery import demo, index, search
from .models import convert, explain, fit, list_models, sweep, train
from .publishing import embed, export, push

__all__ = ["app", "main"]

_OBJECTS_BETWEEN_COLLECTIONS = 50_000

app = typer.Typer(
    name="sketch-prompt",
    help="Zero-shot sketch-based image retrieval on a frozen CLIP: you draw, it finds the photo.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    fit,
    train,
    sweep,
    evaluate,
    compare,
    reproduce,
    index,
    search,
    demo,
    explain,
    convert,
    push,
    export,
    embed,
)
for command in COMMANDS:
    app.command(cls=Command)(command)
app.command("models", cls=Command)(list_models)

data_app = typer.Typer(no_args_is_help=True, help="Work with the data of benchmarks.")
data_app.command("check", cls=Command)(check_data)
app.add_typer(data_app, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sketch-prompt {sketch_prompt.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    traceback: Annotated[
        bool,
        typer.Option("--traceback", help="Show the traceback of an error. Can also follow the command."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Settings(traceback)


def main() -> None:
    """Run `app` in a process of its own: the entry point of the command.

    Importing torch and transformers creates about a million objects. By default Python searches them for garbage
    dozens of times, and once more when the process ends, which took a third of the time of a search.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(gc.freeze)
    app(prog_name="sketch-prompt")
