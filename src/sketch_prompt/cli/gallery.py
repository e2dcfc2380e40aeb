"""`index`, `search` and `demo`: finding one's own photos with a drawing."""

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
    JsonOption,
    LineWidthOption,
    ModelOption,
    launched_accelerator,
    sketch_settings,
)


def index(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="GALLERY", help="Folder of the gallery.")],
    photos: Annotated[
        Path | None, typer.Argument(metavar="PHOTOS", help="Folder of photos, subfolders included.")
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            metavar="VECTORS",
            help="Vectors of the photos that you have already: a folder of .npy and .parquet files as clip-retrieval "
            "writes it, a .parquet file, a Lance table, or postgresql://user@host/database (immich's tables, or "
            "--table). PHOTOS is then where relative paths are.",
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Table or view of the database with the vectors and paths.")
    ] = None,
    vector_column: Annotated[str | None, typer.Option(help="Its column of vectors.")] = None,
    path_column: Annotated[str | None, typer.Option(help="Its column of paths or ids.")] = None,
    path_prefix: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Beginning of the stored paths that PHOTOS stands for here, such as /usr/src/app/upload.",
        ),
    ] = None,
    model: ModelOption = None,
    base_model: BaseModelOption = None,
    kind: Annotated[
        IndexKind | None,
        typer.Option(
            "--index", help="How photos are searched. A new gallery chooses by their number (auto)."
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Precision of the features in memory; by default (auto) fewer bits the more photos there are. "
            "What is found is compared in full precision all the same."
        ),
    ] = None,
    by_category: Annotated[
        bool,
        typer.Option(
            "--by-category",
            help="Embed each photo under the category that its folder is named after, for methods with conditions "
            "(dp-clip). A search then needs --category.",
        ),
    ] = False,
    links: Annotated[
        bool, typer.Option(help="Follow links in the folder; those that lead out of it are listed.")
    ] = True,
    milvus_uri: Annotated[
        str | None,
        typer.Option(
            envvar="MILVUS_URI",
            help="Address of a Milvus cluster; by default Milvus keeps its data in the gallery.",
        ),
    ] = None,
    batch_size: BatchSizeOption = 64,
    num_workers: Annotated[
        int | None,
        typer.Option(min=0, help="Number of processes that read photos; by default up to 8, as cores allow."),
    ] = None,
    flush_seconds: Annotated[
        float | None, typer.Option(min=0, help="Seconds between saves: the work that a killed run loses.")
    ] = None,
    crop: CropOption = None,
    line_width: LineWidthOption = None,
    calibrate: Annotated[
        bool | None,
        typer.Option(
            help="Search it with bundled drawings, to be able to say when nothing looks like a drawing. By default "
            "for 30 photos and more.",
        ),
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a gallery of the photos in a folder, which a sketch can search; or update it.

    Only new photos are embedded. A second run over an unchanged folder embeds nothing, a renamed photo keeps its
    features, and a run that was killed continues where it stopped. Files that cannot be read as photos are left out
    and listed. An existing gallery keeps its model and its settings; a new one uses sketch-search unless --model says
    otherwise. On several GPUs: accelerate launch -m sketch_prompt index, with the
    same arguments. HEIC photos and cameras' RAW files need sketch-prompt[photos].

    \b
    Examples:
      sketch-prompt index photos -o gallery
      sketch-prompt index photos -o gallery -m frozen-clip --base-model openai/clip-vit-base-patch32 --crop
      sketch-prompt index -o gallery --embeddings clip-retrieval-output --base-model openai/clip-vit-base-patch32
      sketch-prompt index library -o gallery --embeddings postgresql://immich@localhost/immich \\
        --path-prefix /usr/src/app/upload --base-model openai/clip-vit-base-patch32
    """
    if photos is None and embeddings is None:
        raise typer.BadParameter("give PHOTOS, or --embeddings")
    if embeddings is None and any((table, vector_column, path_column, path_prefix)):
        raise typer.BadParameter(
            "--table, --vector-column, --path-column and --path-prefix are for --embeddings"
        )
    accelerator = launched_accelerator()
    options = {"base_model": base_model, "sketches": sketch_settings(crop, line_width) or None}
    options["device"] = device if accelerator is None else str(accelerator.device)
    if embeddings is not None:
        from sketch_prompt.gallery.vectors import read_embeddings

        vectors = read_embeddings(
            embeddings, path_column, vector_column, table=table, path_prefix=path_prefix
        )
        options["precision"] = precision or "auto"
        gallery = _index_embeddings(vectors, photos, output, model, kind, options)
    else:
        from sketch_prompt.gallery.gallery import Gallery
        from sketch_prompt.gallery.store import FLUSH_SECONDS

        gallery = Gallery.build(
            model,
            photos,
            output,
            index=kind,
            precision=precision,
            by_category=by_category or None,
            follow_links=links,
            milvus_uri=milvus_uri,
            batch_size=batch_size,
            num_workers=num_workers,
            flush_seconds=FLUSH_SECONDS if flush_seconds is None else flush_seconds,
            accelerator=accelerator,
            **options,
        )
    if accelerator is not None:
        accelerator.wait_for_everyone()
        accelerator.end_training()
        if not accelerator.is_main_process:
            return
    _calibrate(gallery, output, calibrate)
    _report_index(gallery, output, as_json)


def _calibrate(gallery, output: Path, wanted: bool | None) -> None:
    """Calibrate a gallery if that is wanted, or is worth while, and has not been done."""
    from sketch_prompt.gallery.calibration import ENOUGH_PHOTOS

    if wanted is None:
        wanted = len(gallery) >= ENOUGH_PHOTOS and not gallery.model.is_conditional
    if wanted and gallery.collection.calibration is None:
        gallery.calibrate()
        gallery.save(output)


def _index_embeddings(vectors, photos: Path | None, output: Path, model, kind, options: dict):
    """A gallery of vectors that are there already."""
    from sketch_prompt.gallery.gallery import Gallery

    gallery = Gallery.from_embeddings(
        vectors,
        model=model or "frozen-clip",
        photos_dir=photos,
        output=output,
        index=kind or "auto",
        **options,
    )
    checked = gallery.changes.checked
    if not checked:
        typer.echo("Note: no photo can be read here, so the vectors were not checked", err=True)
    else:
        typer.echo(f"{checked} photos embedded again: the vectors are this CLIP's", err=True)
    return gallery


def _report_index(gallery, output: Path, as_json: bool) -> None:
    """Say what a gallery holds now, and what is to be known about it."""
    from sketch_prompt.catalogue import toy_warning

    summary = {"gallery": str(output), "photos": len(gallery), **gallery.changes.to_dict()}
    summary["index"] = gallery.index.describe()
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
        return
    typer.echo(gallery.changes.describe(len(gallery)), err=True)
    if unknown := gallery.unconditioned_categories:
        names = printable(", ".join(unknown))
        typer.echo(f"Embedded without a category, not known to the model: {names}", err=True)
    calibration = gallery.collection.calibration
    if calibration is not None and calibration.hub_warning:
        typer.echo(f"Note: {calibration.hub_warning}", err=True)
    if warning := toy_warning(gallery.model.config.base_model):
        typer.echo(warning, err=True)
    described = ", ".join(f"{name} {value}" for name, value in summary["index"].items())
    typer.echo(f"Index: {described}\nWrote {output}", err=True)


def search(
    gallery: Annotated[Path, typer.Argument(metavar="GALLERY", help="Folder that index has written.")],
    sketch: Annotated[
        Path | None,
        typer.Argument(metavar="[SKETCH]", help="A drawing: any image, or QuickDraw strokes (.ndjson)."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="What the photo shows, such as 'a red chair'; alone or beside a sketch."),
    ] = None,
    weight: Annotated[
        float, typer.Option(min=0, max=1, help="Weight of the text beside the sketch, from 0 to 1.")
    ] = 0.5,
    top_k: Annotated[int, typer.Option(min=1, help="Number of photos to find.")] = 12,
    rerank: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of photos to score again, pair by pair, for methods that score pairs."
        ),
    ] = None,
    expand: Annotated[
        int | None,
        typer.Option(min=1, help="Search twice, the second time joined with the first so many hits."),
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Search only photos of this category (folder); may be repeated.")
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(help="Search only photos whose path matches, such as '2024/*'; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Figure to write: .png, .pdf, .svg, ...")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Table of the photos to write, for spreadsheets.")
    ] = None,
    html_file: Annotated[
        Path | None,
        typer.Option(
            "--html", help="Page of the photos to write: one file, whose thumbnails open the photos."
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open that page in a browser.")] = False,
    copy_to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to copy the photos into, the best one first.")
    ] = None,
    group_copies: Annotated[
        bool,
        typer.Option(
            "--group-copies/--all-copies",
            help="Show copies and near copies of a photo as one, or each of them.",
        ),
    ] = True,
    as_json: JsonOption = False,
    model: ModelOption = None,
    base_model: BaseModelOption = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of the photos, if it has moved or somebody else made the gallery."),
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Find the photos that look like a drawing.

    Prints one photo per line, best first: rank, score, path and, if there are any, how many more files show the same,
    separated by tabs. The gallery knows its model;
    --model and --base-model say where these are now, if they have moved. --model may also name a lens of the CLIP that
    the photos were embedded with (`sketch-prompt fit`): it changes the query alone, and the gallery stays as it is.

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
    hits = opened.search(
        sketch,
        top_k,
        filters,
        text=text,
        weight=weight,
        rerank=rerank,
        expand=expand,
        group_copies=group_copies,
    )
    if output is not None:
        from sketch_prompt.plotting import save_figure

        save_figure(opened.plot(hits, sketch, text), output)
        typer.echo(f"Wrote {output}", err=True)
    _hand_over(hits, csv_file, html_file, copy_to, open_page)
    if as_json:
        query = {"sketch": None if sketch is None else str(sketch), "text": text}
        results = [asdict(hit) for hit in hits]
        for result in results:
            if not result["copies"]:  # most photos have none
                del result["copies"]
        content = {"query": query, "photos": len(opened), "is_weak": hits.is_weak, "results": results}
        typer.echo(json.dumps(content, indent=2))
        return
    for hit in hits:
        copies = f"\t{len(hit.copies)} more of it" if hit.copies else ""
        typer.echo(f"{hit.rank}\t{hit.score:.4f}\t{printable(hit.path)}{copies}")
    if hits.warning:
        typer.echo(f"Note: {hits.warning}", err=True)


def _hand_over(
    hits, csv_file: Path | None, html_file: Path | None, copy_to: Path | None, open_page: bool
) -> None:
    """Give the hits to whom they are for: a spreadsheet, a browser, a folder."""
    if copy_to is not None:
        typer.echo(f"Copied {len(hits.copy_to(copy_to))} photos into {copy_to}", err=True)
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


def demo(
    host: Annotated[
        str, typer.Option(help="Address to serve on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port; by default the first free one from 7860 on.")
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that index has written; by default the bundled photos."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Directory, Hub id or bundled name of a checkpoint; may be repeated. By default all bundled ones.",
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the gallery's photos, if it has moved or somebody else made the gallery."
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Serve a web page to draw on. It searches while you draw and shows why a photo was found.

    It opens on 1,200 real photos of 40 things and works without a network. The first start takes half a minute longer,
    to embed them.

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
        raise typer.BadParameter("--photos is the folder of the photos of --gallery")
    check_port(host, port)
    from sketch_prompt.space.catalogue import Catalogue

    catalogue = Catalogue(model, gallery, photos_dir=photos)
    catalogue.prepare()
    address, page = launch_page(catalogue, host, port, open_browser=browser)
    typer.echo(f"Draw on {address} (Ctrl-C ends it)", err=True)
    page.block_thread()
