"""`index`, `search` and `demo`: find your own photos with a drawing."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sketch_prompt.terminal import printable
from sketch_prompt.vocabulary import IndexKind, Precision

from .command import (
    BaseModelOption,
    BatchSizeOption,
    CropOption,
    DeviceOption,
    DtypeOption,
    FigureOption,
    JsonOption,
    LineWidthOption,
    ModelOption,
    PhotosOption,
    launched_accelerator,
    sketch_settings,
)

# The photos of a gallery.
GalleryOutput = Annotated[
    Path, typer.Option("--output", "-o", metavar="GALLERY", help="Folder of the gallery.")
]
PhotosArgument = Annotated[
    Path | None, typer.Argument(metavar="PHOTOS", help="Folder of photos. Its subfolders are included.")
]
LinksOption = Annotated[
    bool, typer.Option(help="Follow links in the folder. Links to places outside of it are listed.")
]
ByCategoryOption = Annotated[
    bool,
    typer.Option(
        "--by-category",
        help="Embed each photo with its category, the name of its folder, for methods with conditions (dp-clip). "
        "A search then needs --category.",
    ),
]

# Vectors that exist already.
EmbeddingsOption = Annotated[
    str | None,
    typer.Option(
        metavar="VECTORS",
        help="Use existing vectors of the photos: a folder of .npy and .parquet files as clip-retrieval writes it, a "
        ".parquet file, a Lance table, or postgresql://user@host/database (the tables of immich, or --table). "
        "Relative paths are looked up in PHOTOS.",
    ),
]
TableOption = Annotated[
    str | None, typer.Option(help="Table or view of the database with the vectors and paths.")
]
VectorColumnOption = Annotated[str | None, typer.Option(help="Column of the vectors.")]
PathColumnOption = Annotated[str | None, typer.Option(help="Column of the paths or ids.")]
PathPrefixOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Start of the stored paths to replace with PHOTOS, such as /usr/src/app/upload.",
    ),
]

# How photos are searched.
IndexOption = Annotated[
    IndexKind | None,
    typer.Option("--index", help="Kind of index. The default of a new gallery depends on its size (auto)."),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        help="Precision of the features in memory. By default, larger galleries use fewer bits (auto). The best "
        "hits are always compared in full precision."
    ),
]
MilvusOption = Annotated[
    str | None,
    typer.Option(
        envvar="MILVUS_URI",
        help="Address of a Milvus cluster. By default, Milvus keeps its data in the gallery. A query chooses the "
        "index of Milvus: http://cluster:19530?index_type=HNSW&M=32&ef=128.",
    ),
]
CalibrateOption = Annotated[
    bool | None,
    typer.Option(
        help="Search the gallery with bundled drawings and words, so that a search can warn when no photo looks like "
        "the query. By default for galleries of 30 photos or more.",
    ),
]

# The work.
PhotoWorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0, help="Number of processes that read photos. The default is up to 8, depending on the cores."
    ),
]
FlushOption = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds between saves. This much work is lost if the run is killed."),
]


def index(
    output: GalleryOutput,
    photos: PhotosArgument = None,
    embeddings: EmbeddingsOption = None,
    table: TableOption = None,
    vector_column: VectorColumnOption = None,
    path_column: PathColumnOption = None,
    path_prefix: PathPrefixOption = None,
    model: ModelOption = None,
    base_model: BaseModelOption = None,
    kind: IndexOption = None,
    precision: PrecisionOption = None,
    dtype: DtypeOption = None,
    by_category: ByCategoryOption = False,
    links: LinksOption = True,
    milvus_uri: MilvusOption = None,
    batch_size: BatchSizeOption = 64,
    num_workers: PhotoWorkersOption = None,
    flush_seconds: FlushOption = None,
    crop: CropOption = None,
    line_width: LineWidthOption = None,
    calibrate: CalibrateOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a gallery from a folder of photos, or update it.

    Only new photos are embedded. Running it again on an unchanged folder embeds nothing, a renamed photo keeps its
    features, and a run that was killed continues where it stopped. Files that cannot be read as photos are skipped and
    listed. An existing gallery keeps its model and its settings. The default model of a new gallery is sketch-search.
    --model may be a folder of ONNX encoders that export wrote, with --int8 or without.
    HEIC photos and RAW files of cameras need sketch-prompt[photos]. On several GPUs, run
    accelerate launch -m sketch_prompt index with the same arguments.

    \b
    Examples:
      sketch-prompt index photos -o gallery
      sketch-prompt index photos -o gallery -m frozen-clip --base-model openai/clip-vit-base-patch32 --crop
      sketch-prompt index photos -o gallery -m frozen-clip --base-model openai/clip-vit-base-patch32 --dtype bfloat16
      sketch-prompt index -o gallery --embeddings clip-retrieval-output --base-model openai/clip-vit-base-patch32
      sketch-prompt index library -o gallery --embeddings postgresql://immich@localhost/immich \\
        --path-prefix /usr/src/app/upload --base-model openai/clip-vit-base-patch32
    """
    columns = {"path_column": path_column, "vector_column": vector_column}
    columns |= {"table": table, "path_prefix": path_prefix}
    if photos is None and embeddings is None:
        raise typer.BadParameter("give PHOTOS, or --embeddings")
    if embeddings is None and any(columns.values()):
        raise typer.BadParameter(
            "--table, --vector-column, --path-column and --path-prefix are for --embeddings"
        )
    accelerator = launched_accelerator()
    options = {
        "base_model": base_model,
        "sketches": sketch_settings(crop, line_width) or None,
        "dtype": dtype,
    }
    options["device"] = device if accelerator is None else str(accelerator.device)
    if embeddings is not None:
        options |= {"index": kind or "auto", "precision": precision or "auto"}
        gallery = _index_embeddings(embeddings, columns, photos, output, model, options)
    else:
        options |= {"index": kind, "precision": precision, "by_category": by_category or None}
        options |= {"follow_links": links, "milvus_uri": milvus_uri}
        options |= {"batch_size": batch_size, "num_workers": num_workers}
        gallery = _index_photos(photos, output, model, flush_seconds, accelerator, options)
    if accelerator is not None:
        accelerator.wait_for_everyone()
        accelerator.end_training()
        if not accelerator.is_main_process:
            return
    from sketch_prompt.gallery.calibration import calibrate_saved

    calibrate_saved(gallery, output, calibrate)
    _print_gallery(gallery, output, as_json)


def _index_photos(photos: Path, output: Path, model, flush_seconds: float | None, accelerator, options: dict):
    """Create or update a gallery by embedding photos."""
    from sketch_prompt.gallery.gallery import Gallery
    from sketch_prompt.gallery.store import FLUSH_SECONDS

    flush_seconds = FLUSH_SECONDS if flush_seconds is None else flush_seconds
    return Gallery.build(
        model, photos, output, flush_seconds=flush_seconds, accelerator=accelerator, **options
    )


def _index_embeddings(
    embeddings: str, columns: dict, photos: Path | None, output: Path, model, options: dict
):
    """Create or update a gallery from existing vectors."""
    from sketch_prompt.gallery.gallery import Gallery
    from sketch_prompt.gallery.vectors import read_embeddings

    vectors = read_embeddings(embeddings, **columns)
    gallery = Gallery.from_embeddings(
        vectors, model=model or "frozen-clip", photos_dir=photos, output=output, **options
    )
    checked = gallery.changes.checked
    if not checked:
        typer.echo("Note: the vectors were not checked, because no photo can be read here", err=True)
    else:
        typer.echo(f"Checked the vectors against {checked} photos: they come from this CLIP", err=True)
    return gallery


def _print_gallery(gallery, output: Path, as_json: bool) -> None:
    """Print the contents of a gallery and warnings about it."""
    from sketch_prompt.catalogue import toy_warning
    from sketch_prompt.gallery.fingerprint import describe_engine

    summary = {"gallery": str(output), "photos": len(gallery), **gallery.changes.to_dict()}
    summary["index"] = gallery.index.describe()
    summary["encoder"] = encoder = describe_engine(gallery.collection.store.model)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
        return
    typer.echo(gallery.changes.describe(len(gallery)), err=True)
    if unknown := gallery.unconditioned_categories:
        names = printable(", ".join(unknown))
        typer.echo(f"Embedded without a category, because the model does not know it: {names}", err=True)
    calibration = gallery.calibration
    if calibration is not None and calibration.hub_warning:
        typer.echo(f"Note: {calibration.hub_warning}", err=True)
    if warning := toy_warning(gallery.model.config.base_model):
        typer.echo(warning, err=True)
    described = ", ".join(f"{name} {value}" for name, value in summary["index"].items())
    if encoder != {"engine": "torch", "dtype": "float32"}:
        typer.echo(f"Embedded in {encoder['dtype']} by {encoder['engine']}", err=True)
    typer.echo(f"Index: {described}\nWrote {output}", err=True)


# What is searched for.
GalleryArgument = Annotated[
    Path, typer.Argument(metavar="GALLERY", help="Folder of a gallery that index wrote.")
]
SketchArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[SKETCH]", help="A drawing: any image, or QuickDraw strokes (.ndjson)."),
]
TextOption = Annotated[
    str | None,
    typer.Option(help="Text that describes the photo, such as 'a red chair'. With or without a sketch."),
]
WeightOption = Annotated[
    float, typer.Option(min=0, max=1, help="Weight of the text, from 0 to 1; the rest is the sketch's.")
]
TopKOption = Annotated[int, typer.Option(min=1, help="Number of photos to find.")]
RerankOption = Annotated[
    int | None,
    typer.Option(min=1, help="Number of hits to score again, pair by pair, for methods that score pairs."),
]
ExpandOption = Annotated[
    int | None,
    typer.Option(min=1, help="Search a second time with the query and this many of the first hits combined."),
]
CategoryOption = Annotated[
    list[str] | None,
    typer.Option(help="Search only the photos of this category (folder). May be repeated."),
]
PathOption = Annotated[
    list[str] | None,
    typer.Option(help="Search only the photos whose path matches, such as '2024/*'. May be repeated."),
]
CopiesOption = Annotated[
    bool,
    typer.Option(
        "--group-copies/--all-copies",
        help="Show copies and near copies of a photo as one hit, or each of them.",
    ),
]

# Where the hits go.
CsvOption = Annotated[
    Path | None, typer.Option("--csv", help="Table of the hits to write, for spreadsheets.")
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(
        "--html", help="Web page of the hits to write, a single file. Its thumbnails open the photos."
    ),
]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the web page of the hits in a browser.")]
CopyToOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder to copy the photos to. Their names begin with their rank."),
]


def search(
    gallery: GalleryArgument,
    sketch: SketchArgument = None,
    text: TextOption = None,
    weight: WeightOption = 0.5,
    top_k: TopKOption = 12,
    rerank: RerankOption = None,
    expand: ExpandOption = None,
    category: CategoryOption = None,
    path: PathOption = None,
    output: FigureOption = None,
    csv_file: CsvOption = None,
    html_file: HtmlOption = None,
    open_page: OpenOption = False,
    copy_to: CopyToOption = None,
    group_copies: CopiesOption = True,
    as_json: JsonOption = False,
    model: ModelOption = None,
    base_model: BaseModelOption = None,
    photos: PhotosOption = None,
    device: DeviceOption = None,
) -> None:
    """Find the photos that look like a drawing.

    Prints one line for each photo, best first: rank, score, path and the number of its copies, separated by tabs. The
    gallery knows its model. Use --model and --base-model if the model was moved, or to search with a lens that was
    fitted for the gallery's CLIP (sketch-prompt fit). A lens changes only the query, so the gallery stays the same.

    \b
    Examples:
      sketch-prompt search gallery drawing.png
      sketch-prompt search gallery drawing.png --text "a red chair" --top-k 20 -o found.png
      sketch-prompt search gallery --text "a photo of a teapot" --json
      sketch-prompt search gallery drawing.png --html found.html --csv found.csv --copy-to found
    """
    if sketch is None and text is None:
        raise typer.BadParameter("give a SKETCH, --text, or both")
    from sketch_prompt.gallery.gallery import Gallery

    given = {"base_model": base_model} if base_model is not None else {}
    opened = Gallery.load(gallery, model, photos_dir=photos, device=device, **given)
    filters = {name: values for name, values in (("category", category), ("path", path)) if values}
    options = {"rerank": rerank, "expand": expand, "group_copies": group_copies}
    hits = opened.search(sketch, top_k, filters, text=text, weight=weight, **options)
    if output is not None:
        from sketch_prompt.plotting import save_figure

        typer.echo(f"Wrote {save_figure(opened.plot(hits, sketch, text), output)}", err=True)
    _write_hits(hits, csv_file, html_file, copy_to, open_page)
    if as_json:
        query = {"sketch": None if sketch is None else str(sketch), "text": text}
        _print_hits_as_json(hits, query, len(opened))
    else:
        _print_hits(hits)


def _write_hits(
    hits, csv_file: Path | None, html_file: Path | None, copy_to: Path | None, open_page: bool
) -> None:
    if copy_to is not None:
        typer.echo(f"Copied {len(hits.copy_to(copy_to))} photos to {copy_to}", err=True)
    if csv_file is not None:
        typer.echo(f"Wrote {hits.write_csv(csv_file)}", err=True)
    if open_page and html_file is None:
        import tempfile

        html_file = Path(tempfile.mkdtemp(prefix="sketch-prompt-")) / "found.html"
    if html_file is not None:
        typer.echo(f"Wrote {hits.write_html(html_file)}", err=True)
    if open_page:
        import webbrowser

        if not webbrowser.open(html_file.absolute().as_uri()):
            typer.echo(f"Note: no browser was found; open {html_file} in one", err=True)


def _print_hits_as_json(hits, query: dict, n_photos: int) -> None:
    results = [asdict(hit) for hit in hits]
    for result in results:
        if not result["copies"]:  # most photos have none
            del result["copies"]
    content = {"query": query, "photos": n_photos, "is_weak": hits.is_weak, "results": results}
    typer.echo(json.dumps(content, indent=2))


def _print_hits(hits) -> None:
    for hit in hits:
        copies = f"\t{len(hit.copies)} more of it" if hit.copies else ""
        typer.echo(f"{hit.rank}\t{hit.score:.4f}\t{printable(hit.path)}{copies}")
    if hits.warning:
        typer.echo(f"Note: {hits.warning}", err=True)


def demo(
    host: Annotated[
        str, typer.Option(help="Address to serve on. 0.0.0.0 is open to other machines.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port. The default is the first free one from 7860 on.")
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of a gallery that index wrote. The default is the bundled photos."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Folder, Hub id or bundled name of a checkpoint. May be repeated. The default is all bundled ones.",
        ),
    ] = None,
    photos: PhotosOption = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Serve a web page to draw on. It searches while you draw and shows why a photo was found.

    It opens with 1,200 real photos of 40 classes and works without a network. The first start takes half a minute
    longer, because the photos are embedded.

    \b
    Examples:
      sketch-prompt demo
      sketch-prompt demo --gallery gallery --port 8000 --no-browser
    """
    from sketch_prompt.space.ports import check_port

    try:
        from sketch_prompt.space.page import launch_page
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ValueError("the page needs gradio: pip install 'sketch-prompt[space]'") from error
    if photos is not None and gallery is None:
        raise typer.BadParameter("--photos needs --gallery")
    check_port(host, port)
    from sketch_prompt.space.catalogue import Catalogue

    catalogue = Catalogue(model, gallery, photos_dir=photos)
    catalogue.prepare()
    address, page = launch_page(catalogue, host, port, open_browser=browser)
    typer.echo(f"Draw on {address} (Ctrl-C ends it)", err=True)
    page.block_thread()
