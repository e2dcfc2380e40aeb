"""`push`, `export` and `embed`: publish models and galleries, export models to ONNX, and photos to vectors."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .command import (
    DEFAULT_MODEL,
    BaseModelOption,
    BatchSizeOption,
    DataDirOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
)

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Folder of a run, checkpoint or gallery; bundled name of a checkpoint; or name of a benchmark.",
    ),
]
RepositoryArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="Repository on the Hub: owner/name, or name for your own. Created if it is new.",
    ),
]
PrivateOption = Annotated[bool, typer.Option("--private", help="Make a new repository private.")]
RevisionOption = Annotated[
    str | None, typer.Option(help="Branch to commit to. Created from main if it is new.")
]
PullRequestOption = Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead.")]
MessageOption = Annotated[str | None, typer.Option(help="Title of the commit.")]
TokenOption = Annotated[
    str | None,
    typer.Option(help="Token of the Hub. The default is that of `hf auth login`.", envvar="HF_TOKEN"),
]
BackboneOption = Annotated[
    bool | None,
    typer.Option(
        "--include-backbone/--adapter-only",
        help="Push a model with its CLIP or without. By default without, unless others cannot download the CLIP.",
    ),
]
TagOption = Annotated[list[str] | None, typer.Option(help="Tag for the card of a model. May be repeated.")]
IncludePhotosOption = Annotated[
    bool, typer.Option("--include-photos", help="Push the photos of a gallery too.")
]
LicenseOption = Annotated[
    str, typer.Option(help="Licence of the images of a gallery or benchmark, as on the Hub: cc-by-4.0, ...")
]


def push(
    source: SourceArgument,
    repo_id: RepositoryArgument,
    private: PrivateOption = False,
    revision: RevisionOption = None,
    create_pr: PullRequestOption = False,
    message: MessageOption = None,
    token: TokenOption = None,
    include_backbone: BackboneOption = None,
    base_model: BaseModelOption = None,
    tag: TagOption = None,
    include_photos: IncludePhotosOption = False,
    license: LicenseOption = "unknown",
    data_dir: DataDirOption = None,
) -> None:
    """Publish a model, a gallery or a benchmark on the Hub, with a card.

    Only the checkpoint of a run is pushed. If its CLIP was loaded from a folder, use --base-model to give the name of
    the CLIP on the Hub.

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


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the encoders.")],
    model: ModelOption = DEFAULT_MODEL,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise the weights to 8 bits.")] = False,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark", "-b", help="Evaluate the exported encoders on this benchmark and print JSON."
        ),
    ] = None,
    data_dir: DataDirOption = None,
    base_model: BaseModelOption = None,
    device: DeviceOption = None,
) -> None:
    """Export the encoders of sketches and photos to ONNX, for programs without torch. Needs sketch-prompt[onnx].

    \b
    Examples:
      sketch-prompt export -m mini-clip-at -o onnx
      sketch-prompt export -m mini-clip-at -o onnx --int8 --benchmark mini
    """
    import json

    from sketch_prompt.export import OnnxEncoders, export_onnx
    from sketch_prompt.models.loading import load_model

    loaded, loaded.processor = load_model(model, base_model, device)
    for path in export_onnx(loaded, output, int8=int8).values():
        typer.echo(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB)", err=True)
    if benchmark is not None:
        from sketch_prompt import load_benchmark

        typer.echo(json.dumps(OnnxEncoders(output).evaluate(load_benchmark(benchmark, data_dir)), indent=2))


def embed(
    photos: Annotated[
        str,
        typer.Argument(
            metavar="PHOTOS",
            help="Folder of photos; tar shards of WebDataset, or a folder of them; or id of a data set on the Hub.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="VECTORS", help="Folder for Parquet files, or a Lance table (*.lance)."
        ),
    ],
    model: ModelOption = None,
    base_model: BaseModelOption = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="This process, or workers of Ray Data.")
    ] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Number of Ray's workers.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each of them; may be a part of one.")] = 0,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "train",
    dtype: DtypeOption = None,
    batch_size: BatchSizeOption = 64,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed a large collection of photos into a table of vectors, also with many workers.

    index --embeddings creates a gallery from it. The collection is divided into parts, and each part becomes one file.
    If a worker dies, another one does its part. A run that was killed continues with the same command. On a cluster
    (RAY_ADDRESS), all machines need access to the photos and the output. --engine ray needs sketch-prompt[ray].

    \b
    Examples:
      sketch-prompt embed photos -o vectors --engine ray --workers 8
      sketch-prompt index photos -o gallery --embeddings vectors --model sketch-search
    """
    import json
    from dataclasses import asdict

    from sketch_prompt.gallery.corpus import embed_corpus

    source = photos
    if not Path(photos).exists() and photos.count("/") == 1 and not photos.startswith((".", "/")):
        from datasets import load_dataset

        source = load_dataset(photos, split=split)
    options = {"base_model": base_model, "device": device, "dtype": dtype, "batch_size": batch_size}
    done = embed_corpus(
        model or DEFAULT_MODEL, source, output, engine=engine, workers=workers, gpus=gpus, **options
    )
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=2))
        return
    went_on = f", {done.resumed} of {done.parts} parts were there" if done.resumed else ""
    unreadable = f", {done.unreadable:,} unreadable" if done.unreadable else ""
    typer.echo(f"{done.photos:,} photos{unreadable}{went_on}\nWrote {done.output}", err=True)
