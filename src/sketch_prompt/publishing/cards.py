"""Model cards, written from what a checkpoint knows about itself."""

import json


def model_card(model, results: dict | None = None) -> str:
    """README.md of a checkpoint: what it is, how to use it, what it was trained on, what it scored.

    Args:
        model: the model that is saved.
        results: {benchmark: {metric: value}} as measured on unseen classes, or None if nothing was.
    """
    config, method = model.config, model.method
    front = [
        "---",
        "library_name: sketch-prompt",
        "license: apache-2.0",
        "pipeline_tag: image-feature-extraction",
    ]
    front += [f"base_model: {config.base_model}"] if config.base_model else []
    front += ["tags:", "- sketch-based-image-retrieval", "- zero-shot", f"- {method}", "---"]
    fields = {
        name: value
        for name, value in config.to_diff_dict().items()
        if name
        not in (
            "clip_config",
            "vision_config",
            "class_names",
            "categories",
            "architectures",
            "transformers_version",
            "model_type",
            "dtype",
        )
    }
    classes = config.class_names or []
    seen = f"{len(classes)} classes: {', '.join(classes)}." if classes else "Not trained on any classes."
    scores = "Nothing was measured when this was saved."
    if results:
        rows = [
            f"| {name} | {k} | {v:.4f} |" for name, metrics in results.items() for k, v in metrics.items()
        ]
        scores = "\n".join(["| benchmark, unseen classes | metric | value |", "| --- | --- | --- |", *rows])
    return "\n".join(
        [
            *front,
            f"\n# {method} on {config.base_model or 'its own backbone'}\n",
            *filter(None, [model.paper_text]),
            "\n## Use\n",
            "```python",
            "from sketch_prompt import SketchPromptModel, SketchPromptProcessor\n",
            'model = SketchPromptModel.from_pretrained("path/or/hub-id")',
            'processor = SketchPromptProcessor.from_pretrained("path/or/hub-id")',
            "inputs = processor(sketches=[sketch], photos=photos)",
            "sketch_features = model.get_sketch_features(inputs.sketch_pixel_values)",
            "photo_features = model.get_photo_features(inputs.photo_pixel_values)",
            "scores = sketch_features @ photo_features.T",
            *(["", *model.usage_text.splitlines()] if model.usage_text else []),
            "```",
            "\n## Training classes\n",
            seen,
            "\n## Configuration\n",
            "```json",
            json.dumps(fields, indent=2, default=str),
            "```",
            *_choices(config),
            "\n## Results\n",
            scores,
            "",
        ]
    )


def _choices(config) -> list[str]:
    """What this checkpoint does where its paper says nothing."""
    if not config.choices:
        return []
    rows = [
        f"| `{field}` | `{json.dumps(getattr(config, field))}` | {words} |"
        for field, words in config.choices.items()
    ]
    return [
        "\n## Where the paper is silent\n",
        "| field | here | what it decides |",
        "| --- | --- | --- |",
        *rows,
    ]
