"""Recipes of the toy method."""
