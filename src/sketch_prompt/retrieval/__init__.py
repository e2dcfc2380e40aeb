"""Ranking photos for a sketch, and pictures of the rankings."""

from .ranking import Ranking, rank, rank_scores

__all__ = ["Ranking", "rank", "rank_scores"]
