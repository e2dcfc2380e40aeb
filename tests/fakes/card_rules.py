"""What the Hub is known to refuse in a card's metadata."""

import re

LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc0-1.0", "other", "unknown"}
PIPELINES = {
    "image-feature-extraction",
    "feature-extraction",
    "zero-shot-image-classification",
    "image-to-image",
}
TASKS = PIPELINES | {"image-classification", "visual-document-retrieval", "other"}
RELATIONS = {"adapter", "finetune", "merge", "quantized"}
SIZES = re.compile(r"n<1K|1K<n<10K|10K<n<100K|100K<n<1M|1M<n<10M|n>1T|\d+[KMB]<n<\d+[KMBT]")
_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def problems(data: dict | None, kind: str) -> list[str]:
    """Errors in the words of the Hub; empty if the card is fine."""
    if data is None:
        return []
    if not isinstance(data, dict):
        return ["the metadata is not a mapping"]
    found = []
    for field in ("tags", "language", "metrics", "library_tags"):
        if not all(isinstance(value, str) for value in _many(data.get(field))):
            found.append(f'"{field}" must be a string or an array of strings')
    for value in _many(data.get("license")):
        if value not in LICENSES:
            found.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]')
    if kind == "model":
        for value in _many(data.get("base_model")):
            if not isinstance(value, str) or not _ID.fullmatch(value) or value.startswith("."):
                found.append(
                    f'"base_model" with value "{value}" is not valid. Use a model id from https://hf.co/models.'
                )
        for value in _many(data.get("datasets")):
            if not isinstance(value, str) or not _ID.fullmatch(value):
                found.append(
                    f'"datasets" with value "{value}" is not valid. Use a dataset id from https://hf.co/datasets.'
                )
        if data.get("pipeline_tag") not in {None, *PIPELINES}:
            found.append(f'"pipeline_tag" must be one of [{", ".join(sorted(PIPELINES))}]')
        if data.get("base_model_relation") not in {None, *RELATIONS}:
            found.append(f'"base_model_relation" must be one of [{", ".join(sorted(RELATIONS))}]')
        found += _model_index(data.get("model-index"))
    if kind == "dataset":
        for value in _many(data.get("size_categories")):
            if not SIZES.fullmatch(str(value)):
                found.append(f'"size_categories" with value "{value}" is not valid')
        for value in _many(data.get("task_categories")):
            if value not in TASKS:
                found.append(f'"task_categories" with value "{value}" is not valid')
    if kind == "space":
        for field in ("title", "sdk"):
            if field not in data:
                found.append(f'"{field}" is required')
        if data.get("sdk") not in (None, "gradio", "docker", "static"):
            found.append('"sdk" must be one of [gradio, docker, static]')
        if len(str(data.get("short_description", ""))) > 60:
            found.append('"short_description" length must be less than or equal to 60 characters long')
    return found


def _many(value) -> list:
    return [] if value is None else value if isinstance(value, list) else [value]


def _model_index(index) -> list[str]:
    if index is None:
        return []
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    found = []
    for n, model in enumerate(index):
        if not isinstance(model.get("name"), str):
            found.append(f'"model-index[{n}].name" is required')
        for m, result in enumerate(model.get("results") or []):
            place = f"model-index[{n}].results[{m}]"
            if not isinstance(result.get("task", {}).get("type"), str):
                found.append(f'"{place}.task.type" is required')
            dataset = result.get("dataset", {})
            found += [f'"{place}.dataset.{k}" is required' for k in ("name", "type") if not dataset.get(k)]
            if not result.get("metrics"):
                found.append(f'"{place}.metrics" is required')
            for metric in result.get("metrics") or []:
                if not isinstance(metric.get("type"), str) or metric.get("value") is None:
                    found.append(f'"{place}.metrics.type" and "value" are required')
    return found
