from PIL import Image

from sketch_prompt.data.minisketch.generator import MiniSketch
from sketch_prompt.space import own_photos
from sketch_prompt.space.own_photos import OwnPhotos
from space.uploads import photo


def write(folder, *categories):
    paths = [folder / f"{category}.jpg" for category in categories]
    for path in paths:
        photo(path.stem).save(path)
    return paths


def test_own_photos_are_found_by_a_drawing(tmp_path, catalogue):
    own = OwnPhotos()
    assert own.add(write(tmp_path, "teapot", "car", "giraffe")) == []
    with catalogue.open(catalogue.methods[0], "own", own) as gallery:
        hits = gallery.search(MiniSketch(256).sketch("giraffe", 777), 3)
    assert hits[0].path == "giraffe.jpg" and len(hits) == 3


def test_photos_added_later_join_the_gallery_and_only_they_are_embedded(tmp_path, catalogue, monkeypatch):
    own = OwnPhotos()
    own.add(write(tmp_path, "teapot"))
    with catalogue.open(catalogue.methods[0], "own", own) as gallery:
        own.add(write(tmp_path, "car"))
        embedded = []
        embed = gallery.model.get_photo_features
        monkeypatch.setattr(
            gallery.model, "get_photo_features", lambda pixels: embedded.append(len(pixels)) or embed(pixels)
        )
    with catalogue.open(catalogue.methods[0], "own", own) as gallery:
        assert sorted(gallery.photos.paths) == ["car.jpg", "teapot.jpg"]
    assert embedded == [1]


def test_photos_are_capped_in_number_and_pixels_and_each_skip_has_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(own_photos, "MAX_PHOTOS", 2)
    paths = write(tmp_path, "teapot", "car", "giraffe")
    Image.new("RGB", (3000, 1500)).save(tmp_path / "car.jpg")
    (tmp_path / "notes.txt").write_text("hello")
    own = OwnPhotos()
    skipped = own.add([tmp_path / "notes.txt", *paths])
    assert own.pictures["car.jpg"].size == (own_photos.MAX_SIDE, own_photos.MAX_SIDE // 2)
    assert list(own.pictures) == ["teapot.jpg", "car.jpg"]
    assert skipped == [
        ("notes.txt", "not an image, or of an unknown format"),
        ("giraffe.jpg", "there is room for 2 photos"),
    ]


def test_two_photos_of_one_name_are_both_kept(tmp_path):
    (tmp_path / "b").mkdir()
    own = OwnPhotos()
    own.add([*write(tmp_path, "car"), *write(tmp_path / "b", "car")])
    assert list(own.pictures) == ["car.jpg", "car (2).jpg"]


def test_forgotten_photos_are_gone(tmp_path, catalogue):
    own = OwnPhotos()
    own.add(write(tmp_path, "car"))
    with catalogue.open(catalogue.methods[0], "own", own):
        own.clear()
    with catalogue.open(catalogue.methods[0], "own", own) as gallery:
        assert len(own) == len(gallery) == 0
