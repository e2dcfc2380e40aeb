"""Model cards, written from the facts of a checkpoint."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .. import __version__
from ..sources import hub_id
from .facts import Measurement, TrainingFacts
from .rendering import render

_TASK = "zero-shot sketch-based image retrieval"
# Fields of a configuration that are not hyper-parameters.
_NO_HYPERPARAMETERS = frozenset(
    {
        "architectures",
        "auto_map",
        "base_model",
        "base_model_fingerprint",
        "base_model_revision",
        "categories",
        "class_names",
        "clip_config",
        "dtype",
        "model_type",
        "transformers_version",
        "vision_config",
    }
)


def model_card(
    model,
    config,
    source: str,
    *,
    revision: str | None = None,
    self_contained: bool = False,
    tags: Iterable[str] = (),
) -> ModelCard:
    """The README.md of a checkpoint: description, usage, training and results.

    Args:
        model: The model that is saved.
        config: Its configuration as it is saved.
        source: Argument of `from_pretrained` in the example code: the id of the repository, or the name of a folder.
        revision: The branch that is pushed to, if it is not main.
        self_contained: Whether the checkpoint contains the CLIP.
        tags: Further tags.
    """
    facts, method = model.facts, model.method
    base = hub_id(config.base_model)
    # The name of a bundled base is public; a folder of this machine is not.
    base_name = base or (config.base_model if _is_plain(config.base_model) else None)
    data = ModelCardData(
        license="apache-2.0",
        library_name="sketch-prompt",
        pipeline_tag="image-feature-extraction",
        base_model=base,
        base_model_relation="adapter" if base else None,
        datasets=[facts.dataset] if facts.dataset else None,
        metrics=sorted({name for m in facts.measurements for name in m.metrics}) or None,
        tags=list(dict.fromkeys(["sketch-based-image-retrieval", "zero-shot", method, *tags])),
        model_name=source.rpartition("/")[2] if facts.measurements else None,
        eval_results=_eval_results(facts.measurements),
    )
    on = f" on {base_name}" if base_name else ""
    trained = bool(facts.recipe or config.seen_classes)
    values = {
        "title": f"{method}{on}" + (f", trained on {facts.benchmark}" if facts.benchmark else ""),
        "about": model.paper_text,
        "what": " ".join([_description(model, base_name, self_contained), *_lens(config)]),
        "source": source,
        "revision": f', revision="{revision}"' if revision not in (None, "main") else "",
        "usage": model.usage_text.strip(),
        "measurements": [_as_table(m) for m in facts.measurements],
        "run": [(name, _text(value)) for name, value in facts.run.items()],
        "untrained": "The details of the training were not recorded."
        if trained
        else "This checkpoint was not trained.",
        "classes": config.seen_classes,
        "benchmark": facts.benchmark,
        "hyperparameters": _hyperparameters(config, facts),
        "choices": [
            (f"`{field}`", f"`{json.dumps(getattr(config, field))}`", words)
            for field, words in config.choices.items()
        ],
        "trained": trained,
        "base": base_name,
        "versions": ", ".join(f"{name} {value}" for name, value in facts.environment.items()),
        "package_version": __version__,
        "bibtex": model.bibtex.strip(),
    }
    return ModelCard(render("model_card.md.jinja", data, **values))


def _is_plain(name: str | None) -> bool:
    return name is not None and "/" not in name and "\\" not in name


def _description(model, base: str | None, self_contained: bool) -> str:
    size = sum(value.numel() for value in model.adapter_tensors().values())
    if model.clip is None:
        return f"A model of {_format_count(size)} weights with its own vision tower."
    clip = f"frozen CLIP ({base})" if base else "frozen CLIP"
    if not size:
        return f"A {clip} without training, which is the baseline."
    where = "is included in this checkpoint" if self_contained else "is loaded from its own checkpoint"
    return f"An adapter of {_format_count(size)} weights on a {clip}. The CLIP {where}."


def _lens(config) -> Iterator[str]:
    """The paragraph about the lens, if there is one."""
    if not config.lens_fit:
        return
    fit = config.lens_fit
    map = "no map" if fit["penalty"] is None else f"a linear map (lambda {fit['penalty']:g})"
    yield (
        f"A lens is applied to sketch features: centring and {map}, fitted on {fit['drawings']:,} drawings of "
        f"{len(config.lens_classes)} classes with the targets `{config.lens}`."
    )
    if scores := fit.get("held_out"):
        yield (
            f"On held-out seen classes, {scores['metric']} is {100 * scores['lens']:.1f} % with the lens and "
            f"{100 * scores['plain']:.1f} % without it."
        )
    yield from fit["notes"]


def _format_count(count: int) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"


def _eval_results(measurements: Iterable[Measurement]) -> list[EvalResult] | None:
    results = [
        EvalResult(
            task_type="image-feature-extraction",
            task_name=_TASK,
            dataset_type=m.benchmark,
            dataset_name=f"{m.benchmark}: {m.sentence}" if m.sentence else m.benchmark,
            dataset_split="test",
            metric_type=name,
            metric_name=f"{name}, %",
            metric_value=round(100 * value, 2),
        )
        for m in measurements
        for name, value in m.metrics.items()
    ]
    return results or None


def _as_table(m: Measurement) -> dict[str, Any]:
    """A measurement as a table for the template. Empty columns are left out."""
    others = {
        "95 % interval": {
            name: f"{_percent(low)} - {_percent(high)}" for name, (low, high) in m.intervals.items()
        },
        "frozen CLIP": {name: _percent(value) for name, value in m.frozen_clip.items()},
        "chance": {name: _percent(value) for name, value in m.chance.items()},
        "paper": {name: f"{100 * value:.4g}" for name, value in m.paper.items()},
    }
    columns = {title: values for title, values in others.items() if values}
    rows = [
        [name, f"**{_percent(value)}**", *(values.get(name, "") for values in columns.values())]
        for name, value in m.metrics.items()
    ]
    heading = f"**{m.benchmark}**" + (f": {m.sentence}" if m.sentence else ", unseen classes")
    return {"heading": heading, "columns": list(columns), "rows": rows, "citation": m.citation}


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _hyperparameters(config, facts: TrainingFacts) -> list[tuple[str, str, str]]:
    """All values that the training depended on, and where they come from."""
    values = {
        f"{section}.{key}": value for section, keys in facts.recipe.items() for key, value in keys.items()
    }
    if not values:
        fields = config.to_diff_dict()
        values = {f"model.{key}": value for key, value in fields.items() if key not in _NO_HYPERPARAMETERS}
    return [(f"`{key}`", f"`{_text(value)}`", facts.origins.get(key, "")) for key, value in values.items()]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.replace("|", "\\|").replace("\n", " ")
