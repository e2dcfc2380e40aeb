"""What commands share: options, error messages, `--traceback`, and options that were once called something else."""

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

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Directory, Hub id or bundled name of a checkpoint; or frozen-clip with --base-model.",
    ),
]
BaseModelOption = Annotated[
    str | None,
    typer.Option(help="Directory, Hub id or bundled name of the frozen CLIP, if not the checkpoint's own."),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1, mps, ...; by default a GPU if there is one.")
]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="Images in one forward pass.")]
DataDirOption = Annotated[Path | None, typer.Option(help="Folder of the benchmark's data.")]
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write the result.")]
CropOption = Annotated[
    bool | None,
    typer.Option(
        "--crop/--no-crop", help="Cut away the white around drawings. By default as the model does."
    ),
]
LineWidthOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Least width of a drawn line, in the pixels that the model sees: 1.5 helps CLIPs of 64 pixels. By "
        "default as the model does.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
FormatOption = Annotated[Format, typer.Option(help="How the report is printed.")]
TableFormatOption = Annotated[TableFormat, typer.Option(help="How the tables are printed.")]

OLD_OPTIONS = {
    "evaluate": {
        "--category": "--condition",
        "--rankings": "--sheet-size",
        "--train-protocol": "--train-benchmark",
    },
    "search": {"--figure": "--output"},
}
"""{command: {old spelling: new spelling}}. Old spellings still work; they are not in the help."""

SEVERAL_NUMBERS = {"train": ("--seeds",)}
"""{command: options that take several numbers, `--seeds 0 1 2`}."""

_BREAKS = "\n\t"
_BUG = "This is probably a bug in sketch-prompt: the same command with --traceback shows where."


@dataclass
class Settings:
    """What the options before the command say; `context.obj`."""

    traceback: bool = False


class Command(TyperCommand):
    """A command that reports errors with `one_message` and takes `--traceback` and old spellings of its options."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Parse the arguments, among them `--traceback` and old spellings of options."""
        if "--traceback" in args:
            args = [argument for argument in args if argument != "--traceback"]
            ctx.find_root().obj.traceback = True
        args = _with_new_names(args, OLD_OPTIONS.get(self.name, {}))
        return super().parse_args(ctx, _each_with_its_option(args, SEVERAL_NUMBERS.get(self.name, ())))

    def invoke(self, ctx: typer.Context):
        """Run the command."""
        with one_message(ctx.find_root().obj.traceback):
            return super().invoke(ctx)


@contextmanager
def one_message(traceback: bool = False) -> Iterator[None]:
    """Turn errors into one message on stderr, and warnings into one line each.

    ValueErrors, OSErrors and the errors that sketch-prompt defines itself are those that a user can mend. Of every
    other error the message says that it is probably a bug, and how to see its traceback.

    Args:
        traceback: let errors through, with their traceback.

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
        # What a command raises for typer is typer's to report.
        if traceback or isinstance(error, (typer.BadParameter, typer.Exit, typer.Abort)):
            raise
        message = message_of(error)
        can_be_mended = isinstance(error, (ValueError, OSError))
        if not (can_be_mended or type(error).__module__.startswith("sketch_prompt.")):
            message = f"{type(error).__name__}: {message}\n{_BUG}"
        typer.echo(f"Error: {message}", err=True)
        sys.exit(1)


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


def _each_with_its_option(arguments: list[str], options: Sequence[str]) -> list[str]:
    """`--seeds 0 1 2` as the parser knows it: `--seeds 0 --seeds 1 --seeds 2`."""
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
    """Print what has `to_table`, `to_json` and the other formats that the command offers."""
    if as_json or format == "json":
        typer.echo(report.to_json())
    elif format != "table":
        typer.echo(getattr(report, f"to_{format}")(), nl=False)
    else:
        from rich.console import Console

        Console().print(report.to_table())


def sketch_settings(crop: bool | None, line_width: float | None) -> dict[str, bool | float]:
    """The fields of the image processor that `--crop` and `--line-width` set."""
    given = {"sketch_crop_margin": crop, "sketch_line_width": line_width}
    return {name: value for name, value in given.items() if value is not None}


def launched_accelerator():
    """The accelerator of a multi-process launch; None if this is the only process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import Accelerator

    return Accelerator()
