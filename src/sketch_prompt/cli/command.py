"""What commands share: options, error messages, `--traceback`, and old names of options."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperCommand

from sketch_prompt.terminal import message_of, printable

DEFAULT_MODEL = "sketch-search"

Format = Literal["table", "markdown", "json"]
TableFormat = Literal["table", "markdown", "latex", "csv", "json"]

MODEL_HELP = "Folder, Hub id or bundled name of a checkpoint; or frozen-clip with --base-model."

ModelOption = Annotated[str | None, typer.Option("--model", "-m", help=MODEL_HELP)]
BaseModelOption = Annotated[
    str | None,
    typer.Option(
        help="Folder, Hub id or bundled name of the frozen CLIP. The default is the one that the checkpoint names."
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps, ... The default is a GPU if there is one.")
]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="Number of images in a forward pass.")]
NumWorkersOption = Annotated[int, typer.Option(min=0, help="Number of processes that read images.")]
DataDirOption = Annotated[Path | None, typer.Option(help="Folder of the benchmark's data.")]
FigureOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Figure to write: .png, .pdf, .svg, ...")
]
PhotosOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the gallery's photos. Needed if it was moved, or if the gallery is not yours."
    ),
]
DtypeOption = Annotated[
    Literal["float32", "bfloat16"] | None,
    typer.Option(
        help="Type of the numbers that the model computes with. By default, that of its weights. bfloat16 is faster "
        "on processors that support it."
    ),
]
CropOption = Annotated[
    bool | None,
    typer.Option(
        "--crop/--no-crop", help="Crop drawings to their strokes. The default is the model's setting."
    ),
]
LineWidthOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Make thin lines of drawings this wide, in pixels of the model's input. 1.5 helps CLIPs with an input "
        "of 64 pixels. The default is the model's setting.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FormatOption = Annotated[Format, typer.Option(help="Format of the report.")]
TableFormatOption = Annotated[TableFormat, typer.Option(help="Format of the tables.")]

OLD_OPTIONS = {
    "evaluate": {
        "--category": "--condition",
        "--rankings": "--sheet-size",
        "--train-protocol": "--train-benchmark",
    },
    "search": {"--figure": "--output"},
}
"""{command: {old name: new name}}. Old names still work, but are not in the help."""

SEVERAL_NUMBERS = {"train": ("--seeds",)}
"""{command: options that take several numbers, `--seeds 0 1 2`}."""

_BREAKS = "\n\t"
_BUG = (
    "This is probably a bug in sketch-prompt. Run the same command with --traceback to see where it happens."
)


@dataclass
class Settings:
    """The options before the name of the command; typer keeps them in `context.obj`."""

    traceback: bool = False


class Command(TyperCommand):
    """A command that reports errors with `one_message` and accepts `--traceback` and old names of its options."""

    def __init__(self, *args, help: str | None = None, **options):
        super().__init__(*args, help=help and _for_rich(help), **options)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Parse the arguments, including `--traceback` and old names of options."""
        if "--traceback" in args:
            args = [argument for argument in args if argument != "--traceback"]
            ctx.find_root().obj.traceback = True
        args = _with_new_names(args, OLD_OPTIONS.get(self.name, {}))
        return super().parse_args(ctx, _repeat_options(args, SEVERAL_NUMBERS.get(self.name, ())))

    def invoke(self, ctx: typer.Context):
        """Run the command."""
        with one_message(ctx.find_root().obj.traceback):
            return super().invoke(ctx)


@contextmanager
def one_message(traceback: bool = False) -> Iterator[None]:
    """Turn errors into one message on stderr, and warnings into one line each.

    Users can do something about a ValueError, an OSError and the errors that sketch-prompt defines. The message of any
    other error says that it is probably a bug and how to see its traceback.

    Args:
        traceback: raise errors instead, with their traceback.

    Raises:
        SystemExit: with code 1 after an error, or 130 after Ctrl-C.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    except KeyboardInterrupt as interruption:
        typer.echo(str(interruption) or "Interrupted.", err=True)
        sys.exit(130)
    except Exception as error:
        # typer reports its own exceptions.
        if traceback or isinstance(error, (typer.BadParameter, typer.Exit, typer.Abort)):
            raise
        message = message_of(error)
        is_expected = isinstance(error, (ValueError, OSError))
        if not (is_expected or type(error).__module__.startswith("sketch_prompt.")):
            message = f"{type(error).__name__}: {message}\n{_BUG}"
        typer.echo(f"Error: {message}", err=True)
        sys.exit(1)


def _for_rich(text: str) -> str:
    """A help text whose paragraphs are wrapped by the terminal, and whose `[photos]` is not taken for markup."""
    paragraphs = text.split("\n\n")
    joined = [part if part.startswith("\b") else part.replace("\n", " ") for part in paragraphs]
    return "\n\n".join(joined).replace("[", "\\[")


def _show_warning(message, category, *place) -> None:
    typer.echo(f"Note: {printable(str(message), keep=_BREAKS)}", err=True)


def _with_new_names(arguments: list[str], new_names: dict[str, str]) -> list[str]:
    renamed = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name in new_names:
            typer.echo(f"Note: {name} is now called {new_names[name]}.", err=True)
        renamed.append(f"{new_names.get(name, name)}{equals}{value}")
    return renamed


def _repeat_options(arguments: list[str], options: Sequence[str]) -> list[str]:
    """Turn `--seeds 0 1 2` into `--seeds 0 --seeds 1 --seeds 2`, which the parser understands."""
    spread: list[str] = []
    option, is_first = None, False
    for argument in arguments:
        if argument in options:
            option, is_first = argument, True
        elif option is not None and argument.isdecimal():
            spread += [] if is_first else [option]
            is_first = False
        else:
            option = None
        spread.append(argument)
    return spread


def print_report(report, format: TableFormat = "table", as_json: bool = False) -> None:
    """Print a report; it has `to_table`, `to_json` and the other formats of the command."""
    if as_json or format == "json":
        typer.echo(report.to_json())
    elif format != "table":
        typer.echo(getattr(report, f"to_{format}")(), nl=False)
    else:
        from rich.console import Console

        Console().print(report.to_table())


def sketch_settings(crop: bool | None, line_width: float | None) -> dict[str, bool | float]:
    """The settings of the image processor for `--crop` and `--line-width`."""
    given = {"sketch_crop_margin": crop, "sketch_line_width": line_width}
    return {name: value for name, value in given.items() if value is not None}


def launched_accelerator():
    """An accelerator if several processes were launched, else None."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import Accelerator

    return Accelerator()
