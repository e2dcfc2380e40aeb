"""`push`: models, galleries and benchmarks to the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from .options import BaseModelOption, DataDirOption


def push(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of a run, checkpoint or gallery; bundled name of a checkpoint; or name of a benchmark.",
        ),
    ],
    repo_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="Repository: owner/name, or name for your own. Made if it is new."),
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch to commit to; a new one is made from main.")
    ] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead.")] = False,
    message: Annotated[str | None, typer.Option(help="Title of the commit.")] = None,
    token: Annotated[
        str | None, typer.Option(help="Of the Hub; by default that of `hf auth login`.", envvar="HF_TOKEN")
    ] = None,
    include_backbone: Annotated[
        bool | None,
        typer.Option(
            "--include-backbone/--adapter-only",
            help="Push a model with its CLIP or without. With it only if others could not get that CLIP otherwise.",
        ),
    ] = None,
    base_model: BaseModelOption = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="For the card of a model; several times for several.")
    ] = None,
    include_photos: Annotated[
        bool, typer.Option("--include-photos", help="Push the photos of a gallery too.")
    ] = False,
    license: Annotated[
        str, typer.Option(help="Of a gallery's or benchmark's pictures, as the Hub spells it: cc-by-4.0, ...")
    ] = "unknown",
    data_dir: DataDirOption = None,
) -> None:
    """Publish a model, a gallery or a benchmark on the Hub, with a card.

    Of a run's folder only the checkpoint is pushed. If its CLIP was loaded from a folder, --base-model says where that
    is on the Hub.

    \b
    Examples:
      sketch-prompt push runs/clip-at-mini me/clip-at-mini
      sketch-prompt push GALLERY me/my-photos --include-photos --license cc-by-4.0 --private
      sketch-prompt push sketch-folder me/my-benchmark --data-dir PICTURES
    """
    from sketch_prompt.data.benchmarks import benchmark_names, default_level, load_benchmark
    from sketch_prompt.data.hub import push_benchmark
    from sketch_prompt.gallery.saving import MANIFEST

    hub = {"private": private or None, "revision": revision, "create_pr": create_pr, "token": token}
    hub |= {"commit_message": message} if message else {}
    if (Path(source) / MANIFEST).is_file():
        from sketch_prompt.gallery import Gallery

        commit = Gallery.load(source).push_to_hub(
            repo_id, include_photos=include_photos, license=license, **hub
        )
    elif source in benchmark_names() and not Path(source).is_dir():
        tables = load_benchmark(source, data_dir)
        commit = push_benchmark(tables, repo_id, level=default_level(source), license=license, **hub)
    else:
        from sketch_prompt.training.publication import push_run

        commit = push_run(
            source, repo_id, include_backbone=include_backbone, base_model=base_model, tags=tag, **hub
        )
    typer.echo(str(commit))
