"""What a converted model trains, under the names that the reference code gives it."""

from sketch_prompt.models.dp_clip.conversion_dp_clip import reference_names
from sketch_prompt.models.reference import openai_clip_names


def reference_parameters(model):
    """What a converted CLIP-AT or DP-CLIP trains, under the reference's own names; packed q/k/v as three tensors.

    For comparing trainable sets and gradients with the reference implementation.
    """
    names: dict[str, tuple[str, ...]] = {
        "clip.visual.class_embedding": ("adapter.class_embedding",),
        "clip.logit_scale": ("adapter.logit_scale",),
    }
    if model.method == "clip-at":
        names |= {"sk_prompt": ("adapter.sketch_prompts",), "img_prompt": ("adapter.photo_prompts",)}
    else:
        names |= reference_names(model.config)
    for theirs, ours in openai_clip_names(model.clip.config).items():
        ours = ours if isinstance(ours, tuple) else (ours,)
        names.setdefault(f"clip.{theirs}", tuple(f"clip.{name}" for name in ours))
    trained = model.trainable_parameters()
    result = {}
    for theirs, ours in names.items():
        parts = tuple(trained[name] for name in ours if name in trained)
        if parts:
            result[theirs] = parts if len(ours) > 1 else parts[0]
    return result
