"""Render cards from templates."""

from importlib import resources
from typing import Any

from huggingface_hub import CardData
from jinja2 import Environment, StrictUndefined


def render(template: str, card_data: CardData, **values: Any) -> str:
    """Render a card.

    Args:
        template: Name of a file in `templates`.
        card_data: The metadata of the card.
        values: The variables of the template.
    """
    text = resources.files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    environment = Environment(autoescape=False, undefined=StrictUndefined)
    return environment.from_string(text).render(values, card_data=card_data.to_yaml().strip()).strip() + "\n"
