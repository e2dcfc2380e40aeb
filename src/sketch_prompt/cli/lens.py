"""`fit`: a lens for any CLIP, in closed form."""

from pathlib import Path
from typing import Annotated

import typer

from sketch_prompt.vocabulary import TargetKind

from .options import BatchSizeOption, DataDirOption, DeviceOption, JsonOption


def fit(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the lens.")],
    base_model: Annotated[
        str, typer.Option(help="Directory, Hub id or bundled name of the CLIP to fit a lens for.")
    ] = "openai/clip-vit-base-patch32",
    sketches: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|BENCHMARK",
            help="Your drawings (<class>/* or <class>.ndjson), which join the bundled doodles; or a benchmark, whose "
            "seen classes take the place of both.",
        ),
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your photos, in a folder for each class.")
    ] = None,
    targets: Annotated[
        TargetKind | None,
        typer.Option(
            help="What sketches are mapped to: the photos of their class, its text, both, the photo that each draws, "
            "or nothing (centring alone). By default photos where there are any, and texts for the other classes."
        ),
    ] = None,
    exclude_class: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A class to leave out, to test on it; may be repeated."),
    ] = None,
    doodles: Annotated[bool, typer.Option(help="Use the bundled doodles beside --sketches DIR.")] = True,
    penalty: Annotated[
        float | None,
        typer.Option(
            help="lambda: how strongly the map is pulled to none. By default chosen on classes held out."
        ),
    ] = None,
    data_dir: DataDirOption = None,
    line_width: Annotated[
        float,
        typer.Option(min=0, help="Least width of a drawn line, in the pixels that the CLIP sees."),
    ] = 1.5,
    batch_size: BatchSizeOption = 64,
    num_workers: Annotated[int, typer.Option(min=0, help="Number of processes that read images.")] = 0,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a lens: a linear map on the features of sketches, for any CLIP, in about a minute.

    Photos keep the features that they have, so a gallery made with this CLIP is searched with the lens as it is.
    Without --sketches and --photos it is fitted on the bundled doodles (Quick, Draw!) and the texts of their classes.

    \b
    Examples:
      sketch-prompt fit --base-model openai/clip-vit-base-patch32 -o my-lens
      sketch-prompt fit --base-model mini-clip --photos photos/ --exclude-class cat -o my-lens
      sketch-prompt fit --base-model mini-clip --sketches mini -o mini-lens
      sketch-prompt search gallery drawing.png --model my-lens
    """
    import json

    from sketch_prompt.models.loading import load_model
    from sketch_prompt.models.sketch_lens import SketchLensModel
    from sketch_prompt.processing import SketchPromptProcessor
    from sketch_prompt.training.lens import fit_model_lens, lens_tables

    tables = lens_tables(sketches, photos, data_dir, doodles)
    # The frozen CLIP on the device that was asked for.
    clip = load_model("frozen-clip", base_model, device)[0].clip
    config = SketchLensModel.config_class(base_model=base_model)
    model = SketchLensModel(config, backbone=clip)
    processor = SketchPromptProcessor.from_base_model(
        base_model, sketch_crop_margin=True, sketch_line_width=line_width
    )
    result = fit_model_lens(
        model,
        processor,
        *tables,
        targets,
        exclude_classes=exclude_class or (),
        penalty=penalty,
        batch_size=batch_size,
        num_workers=num_workers,
    )
    model.save_pretrained(output, processor=processor)
    if as_json:
        facts = {"targets": result.targets, "classes": len(result.class_names), **result.lens.describe()}
        typer.echo(json.dumps(facts | {"unreadable": result.unreadable}, indent=2))
    for image in result.unreadable:
        typer.echo(f"Left out {image}", err=True)
    for note in result.lens.notes:
        typer.echo(f"Note: {note}", err=True)
    chosen = "no map" if result.lens.map is None else f"lambda {result.lens.penalty:g}"
    typer.echo(
        f"Wrote {output}: {result.lens.drawings:,} drawings of {len(result.class_names)} classes, "
        f"targets {result.targets}, {chosen}",
        err=True,
    )
