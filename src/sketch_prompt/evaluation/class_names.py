"""Search with the name of a class instead of a sketch, to measure what a drawing adds to a word."""

import datasets
import numpy as np
import torch

from sketch_prompt.embedding.tables import EmbeddingTable
from sketch_prompt.models.modeling_base import SketchPromptPreTrainedModel
from sketch_prompt.processing import SketchPromptProcessor


@torch.no_grad()
def class_name_queries(
    model: SketchPromptPreTrainedModel,
    processor: SketchPromptProcessor,
    sketches: datasets.Dataset,
    width: int,
) -> EmbeddingTable:
    """A query for each sketch of a table: the text of its class (`config.class_prompt`). The sketches are not used.

    Args:
        model: A method whose photos can be compared with texts.
        processor: A processor with the tokenizer of the base model.
        sketches: Table with the columns label and instance_id.
        width: Width of the features of photos.

    Raises:
        ValueError: The model has no text tower, or its photo features are not comparable with texts.
    """
    labels = np.asarray(sketches["label"][:], np.int64)
    present, rows = np.unique(labels, return_inverse=True)
    names = [sketches.features["label"].names[label] for label in present]
    training = model.training
    try:
        texts = torch.nn.functional.normalize(model.eval().embed_classes(names, processor), dim=-1)
    finally:
        model.train(training)
    if texts.shape[1] != width:
        raise ValueError(
            f"{model.method} embeds photos in {width} dimensions and texts in {texts.shape[1]}: its photos cannot be "
            "searched by class name"
        )
    return EmbeddingTable(
        features=texts.float().cpu().numpy()[rows],
        labels=labels,
        instance_ids=np.asarray(sketches["instance_id"][:]),
        rows=np.arange(len(labels)),
        unreadable=[],
    )
