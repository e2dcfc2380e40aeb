"""Photos that visitors bring along: of MiniSketch, of instances that are in no gallery."""

import io

from PIL import Image

from sketch_prompt.data.minisketch.generator import MiniSketch


def photo(category: str, instance: int = 777) -> Image.Image:
    return MiniSketch(256).photo(category, instance)


def encoded(picture: Image.Image, file_format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format)
    return buffer.getvalue()
