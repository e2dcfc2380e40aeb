"""Ranking photos for a sketch, and pictures of the rankings."""

from .ranking import Ranking, rank

__all__ = ["Ranking", "rank"]
