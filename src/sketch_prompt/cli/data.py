"""`data check`: what a folder holds."""

from pathlib import Path
from typing import Annotated

import typer

from .options import JsonOption, print_report


def check_data(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of the data or of downloaded archives, or one archive."),
    ],
    benchmark: Annotated[str | None, typer.Option(help="Look for this benchmark only.")] = None,
    read_images: Annotated[bool, typer.Option(help="Open every image.")] = True,
    num_workers: Annotated[int, typer.Option(min=1, help="Number of images read at a time.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Say which benchmarks a folder holds, what is missing, unreadable or duplicated, and where to get it.

    The exit code is 0 if at least one benchmark was found that loads and whose images can be read.

    \b
    Example:
      sketch-prompt data check /data/Sketchy
    """
    from sketch_prompt.data.check import check_data as check

    report = check(directory, benchmark, read_images=read_images, num_workers=num_workers)
    print_report(report, as_json=as_json)
    if not report.is_usable:
        raise typer.Exit(1)
