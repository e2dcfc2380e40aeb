"""`evaluate` module: category-level retrieval (mAP@all, mAP@k, P@k)."""

import datasets
import evaluate
import numpy as np

from sketch_prompt.metrics.core import evaluate_retrieval

_DESCRIPTION = (
    "Mean average precision and precision at k of ranking a gallery of photos for every query sketch by "
    "inner product, in the `standard` (SEM-PCYC, scikit-learn) or the `interpolated` (ZSE-SBIR, SAKE) "
    "convention."
)
_INPUTS = """
Args:
    predictions: features of the query sketches, (N_query, D).
    references: integer label of each query.
    gallery_features: features of the photos, (N_gallery, D).
    gallery_labels: integer label of each photo.
    convention: "standard" (default) or "interpolated".
    ks: cut-offs, (100, 200) by default.
Returns:
    {"mAP@all", "mAP@k" and "P@k" for each k}, in 0..1.
Examples:
    >>> metric = load_metric("sketch_retrieval")
    >>> metric.compute(predictions=[[1.0, 0.0]], references=[0], gallery_features=[[1.0, 0.0], [0.0, 1.0]],
    ...                gallery_labels=[0, 1], ks=(1,))
    {'mAP@all': 1.0, 'mAP@1': 1.0, 'P@1': 1.0}
"""


class SketchRetrieval(evaluate.Metric):
    """Category-level retrieval over `sketch_prompt.metrics.evaluate_retrieval`."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float32")),
                    "references": datasets.Value("int64"),
                }
            ),
        )

    def _compute(
        self, predictions, references, gallery_features, gallery_labels, convention="standard", ks=(100, 200)
    ):
        return evaluate_retrieval(
            np.asarray(predictions, np.float32),
            gallery_features,
            np.asarray(references),
            gallery_labels,
            convention,
            ks,
        )
