"""Cards from the templates of this room."""

from importlib import resources
from typing import Any

from huggingface_hub import CardData
from jinja2 import Environment, StrictUndefined


def render(template: str, card_data: CardData, **values: Any) -> str:
    """A card as text: the metadata and the template's words around the values.

    Args:
        template: name of a file in `templates`.
        card_data: the metadata.
        values: what the template names.
    """
    text = resources.files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    environment = Environment(autoescape=False, undefined=StrictUndefined)
    return environment.from_string(text).render(values, card_data=card_data.to_yaml().strip()).strip() + "\n"
