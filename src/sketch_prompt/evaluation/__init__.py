"""Evaluating a model on a benchmark: embedding, the leakage guard, the report."""

from .embedding import EmbeddingTable, embed
from .evaluate import (
    Evaluation,
    Task,
    check_benchmark,
    embed_benchmark,
    evaluate_model,
    evaluate_task,
    report_embeddings,
)
from .leakage import SeenClassError, check_classes
from .report import Report
from .search import Search

__all__ = [
    "EmbeddingTable",
    "Evaluation",
    "Report",
    "Search",
    "SeenClassError",
    "Task",
    "check_benchmark",
    "check_classes",
    "embed",
    "embed_benchmark",
    "evaluate_model",
    "evaluate_task",
    "report_embeddings",
]
