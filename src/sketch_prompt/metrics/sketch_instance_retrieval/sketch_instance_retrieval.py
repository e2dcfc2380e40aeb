"""`evaluate` module: instance-level retrieval (Acc@k)."""

import datasets
import evaluate
import numpy as np

from sketch_prompt.metrics.instance import evaluate_instance_retrieval

_DESCRIPTION = (
    "Share of query sketches whose own photo is among the first k photos of its category's gallery, ranked "
    "by inner product, each photo once."
)
_INPUTS = """
Args:
    predictions: features of the query sketches, (N_query, D).
    references: the photo each sketch was drawn from, as a string.
    gallery_features: features of the photos, (N_gallery, D).
    gallery_instances: the name of each photo, as a string.
    query_categories, gallery_categories: optional; the gallery of a query is then the photos of its category.
    ks: cut-offs, (1, 5, 10) by default.
Returns:
    {"Acc@k" for each k}, in 0..1.
Examples:
    >>> metric = load_metric("sketch_instance_retrieval")
    >>> metric.compute(predictions=[[1.0, 0.0]], references=["a"], gallery_features=[[1.0, 0.0], [0.0, 1.0]],
    ...                gallery_instances=["a", "b"], ks=(1,))
    {'Acc@1': 1.0}
"""


class SketchInstanceRetrieval(evaluate.Metric):
    """Instance-level retrieval over `sketch_prompt.metrics.evaluate_instance_retrieval`."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float32")),
                    "references": datasets.Value("string"),
                }
            ),
        )

    def _compute(
        self,
        predictions,
        references,
        gallery_features,
        gallery_instances,
        query_categories=None,
        gallery_categories=None,
        ks=(1, 5, 10),
    ):
        return evaluate_instance_retrieval(
            np.asarray(predictions, np.float32),
            gallery_features,
            np.asarray(references),
            gallery_instances,
            query_categories,
            gallery_categories,
            ks,
        )
