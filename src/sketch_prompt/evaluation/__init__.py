"""Evaluating a model on a benchmark: embedding, the leakage guard, the report."""

from .embedding import EmbeddingTable, embed
from .leakage import SeenClassError, check_classes
from .protocol import check_benchmark, embed_benchmark, evaluate_model, report_embeddings
from .report import Report

__all__ = [
    "EmbeddingTable",
    "Report",
    "SeenClassError",
    "check_benchmark",
    "check_classes",
    "embed",
    "embed_benchmark",
    "evaluate_model",
    "report_embeddings",
]
