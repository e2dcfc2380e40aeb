"""Retrieval metrics: a vectorised core that streams, and `evaluate` modules over it."""

from .chance import chance_level, instance_chance_level
from .core import CONVENTIONS, RetrievalDetails, evaluate_retrieval, retrieval_details
from .instance import InstanceDetails, evaluate_instance_retrieval, instance_details, instance_ranks
from .loading import load_metric
from .pair_scores import FeatureScores, MatrixScores, PairScores, RerankedScores
from .scores import QueryScores

__all__ = [
    "CONVENTIONS",
    "FeatureScores",
    "InstanceDetails",
    "MatrixScores",
    "PairScores",
    "QueryScores",
    "RerankedScores",
    "RetrievalDetails",
    "chance_level",
    "evaluate_instance_retrieval",
    "evaluate_retrieval",
    "instance_chance_level",
    "instance_details",
    "instance_ranks",
    "load_metric",
    "retrieval_details",
]
