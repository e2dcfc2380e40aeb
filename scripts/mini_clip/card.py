"""The model card of mini-clip."""

from __future__ import annotations

from transformers import CLIPModel, CLIPTokenizer

from mini_clip.captions import CONTEXT_LENGTH
from mini_clip.pool import FIRST_TRAINING_INSTANCE, PictureSet
from mini_clip.training import PretrainingOptions
from sketch_prompt.data.minisketch import UNSEEN_CLASSES

_CARD = """\
---
license: apache-2.0
library_name: transformers
tags: [clip, sketch-based-image-retrieval, procedural-data]
---

# mini-clip

A CLIP of {parameters:.1f} million parameters ({size:.1f} MB in half precision) that lets every part of
sketch-prompt run without a network. It has seen nothing but MiniSketch, the procedural data set of this
package; it knows 48 classes and is of no use on real photos.

| | |
| --- | --- |
| vision tower | {vision} |
| text tower | {text} |
| embedding | {projection} |
| tokenizer | byte-pair, {vocabulary} tokens of its own, {context} at most in a text |

## What it saw

- {photos:,} MiniSketch photos of all 48 classes ({instances} instances a class, {views} views each) at 64
  pixels, in {updates:,} updates of {batch} pictures, moved, flipped, recoloured, sometimes grey or inverted.
  The instances are numbered from {first:,}; the data set's own start at 0.
- {sketches}
- Captions of all 48 classes ("a photo of a cup", "a red cup", ...), and the words a user may type.
- Never a sketch of one of the 12 unseen classes
  ({unseen}).

## How it was made

```
{command}
```

First the vision tower learns to tell classes and instances apart, then the text tower is fitted to the class
vectors.

## What it does, frozen

| measure | value |
| --- | --- |
{scores}

Retrieval is on the default MiniSketch (`load_benchmark("mini")`), which it has not seen.
"""


def model_card(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    photos: PictureSet,
    options: PretrainingOptions,
    processes: int,
    command: str,
    scores: dict[str, float],
) -> str:
    """The README of the model's folder, written from the run."""
    vision, text = model.config.vision_config, model.config.text_config
    parameters = sum(parameter.numel() for parameter in model.parameters())
    share = options.sketch_share
    facts = {
        "parameters": parameters / 1e6,
        "size": parameters * 2 / 1e6,
        "vision": f"{_tower(vision)}, {vision.image_size} px in patches of {vision.patch_size} px",
        "text": _tower(text),
        "projection": model.config.projection_dim,
        "vocabulary": len(tokenizer),
        "context": CONTEXT_LENGTH,
        "photos": len(photos.labels),
        "instances": photos.instances,
        "views": photos.views,
        "first": FIRST_TRAINING_INSTANCE,
        "updates": options.steps,
        "batch": options.batch_size * processes,
        "sketches": f"Sketches of the seen classes, {share:.0%} of the pictures."
        if share
        else "No sketches.",
        "unseen": ", ".join(UNSEEN_CLASSES),
        "command": command,
        "scores": "\n".join(f"| {name} | {value:.3f} |" for name, value in scores.items()),
    }
    return _CARD.format(**facts)


def _tower(config) -> str:
    return f"{config.hidden_size} wide, {config.num_hidden_layers} layers, {config.num_attention_heads} heads"
