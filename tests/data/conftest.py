"""Trees of tiny images with the naming of real packagings."""

import io
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from fakes.models import TinyProcessor


@pytest.fixture
def processor():
    return TinyProcessor()


@pytest.fixture
def write_images():
    """Writes tiny images: `write_images(root, {"cat": ["a.png"]})` makes root/cat/a.png."""

    @cache
    def encoded(extension, shade):
        buffer = io.BytesIO()
        Image.new("RGB", (12, 10), (shade, 128, 128)).save(buffer, Image.registered_extensions()[extension])
        return buffer.getvalue()

    def write(root, folders):
        for index, (folder, names) in enumerate(folders.items()):
            Path(root, folder).mkdir(parents=True, exist_ok=True)
            for number, name in enumerate(names):
                path = Path(root, folder, name)
                path.write_bytes(encoded(path.suffix.lower(), (37 * index + 91 * number) % 256))

    return write


@pytest.fixture
def sketch_folder(tmp_path, write_images):
    """Five classes of photos a, b, c; two drawings of a, one of b, one that is paired with none."""
    root = tmp_path / "own"
    classes = ["cat", "dog", "hot-air_balloon", "cup", "tree"]
    write_images(root / "photo", {name: ["a.jpg", "b.jpg", "c.png"] for name in classes})
    write_images(root / "sketch", {name: ["a-1.png", "a_2.png", "b.png", "free.png"] for name in classes})
    return root
