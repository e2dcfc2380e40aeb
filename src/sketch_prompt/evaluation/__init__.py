"""Evaluate a model on a benchmark: check its seen classes, embed, search, report."""

from sketch_prompt.embedding.tables import EmbeddingTable, embed

from .evaluate import Evaluation, check_benchmark, embed_benchmark, evaluate_model
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
]
