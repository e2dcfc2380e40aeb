"""Options that several commands have and mean the same in all of them, and what the commands share otherwise."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

DEFAULT_MODEL = "mini-clip-at"

Format = Literal["table", "markdown", "json"]

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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
FormatOption = Annotated[Format, typer.Option(help="How the report is printed.")]


def print_report(report, format: Format = "table", as_json: bool = False) -> None:
    """Print what has `to_table`, `to_markdown` and `to_json`."""
    if as_json or format == "json":
        typer.echo(report.to_json())
    elif format == "markdown":
        typer.echo(report.to_markdown(), nl=False)
    else:
        from rich.console import Console

        Console().print(report.to_table())


def launched_accelerator():
    """The accelerator of a multi-process launch; None if this is the only process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import Accelerator

    return Accelerator()
