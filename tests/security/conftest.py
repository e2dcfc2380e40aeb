"""The model and the photos of the gallery's own tests, and their Hub that is a folder."""

from fakes.photos import model, photos
from gallery.test_hub import hub_folder

__all__ = ["hub_folder", "model", "photos"]
