"""Evaluating a model on a benchmark: embeddings, the guard against seen classes, the search, the report."""

from sketch_prompt.embedding.tables import EmbeddingTable, embed

from .evaluate import Evaluation, check_benchmark, embed_benchmark, evaluate_model, report_embeddings
from .leakage import SeenClassError, check_classes
from .report import Report
from .search import Search
from .task import Task, TaskOptions

__all__ = [
    "EmbeddingTable",
    "Evaluation",
    "Report",
    "Search",
    "SeenClassError",
    "Task",
    "TaskOptions",
    "check_benchmark",
    "check_classes",
    "embed",
    "embed_benchmark",
    "evaluate_model",
    "report_embeddings",
]
