import os

from sketch_prompt.data.listing import list_class_folders


def test_images_are_listed_by_class_and_name_whatever_the_order_on_disk(tmp_path, write_images):
    write_images(tmp_path, {"b": ["2.png", "10.png", "1.jpg"], "a": ["x.JPEG"]})
    listing = list_class_folders([tmp_path])
    assert list(listing.folders) == ["a", "b"]
    assert [image.stem for image in listing.folders["b"]] == ["1", "10", "2"]
    assert listing.folders["a"][0].size == os.path.getsize(tmp_path / "a" / "x.JPEG")


def test_roots_are_merged_by_folder_name(tmp_path, write_images):
    write_images(tmp_path / "one", {"cat": ["a.png"]})
    write_images(tmp_path / "two", {"cat": ["b.png"], "dog": ["c.png"]})
    listing = list_class_folders([tmp_path / "one", tmp_path / "two"])
    assert [image.stem for image in listing.folders["cat"]] == ["a", "b"]
    assert list(listing.folders) == ["cat", "dog"]


def test_hidden_files_and_other_files_are_not_images(tmp_path, write_images):
    write_images(tmp_path, {"cat": ["a.png"], ".hidden": ["b.png"]})
    for name in ("._a.png", "notes.txt", "Thumbs.db"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    (tmp_path / "readme.png").write_bytes(b"x")
    listing = list_class_folders([tmp_path])
    assert [image.stem for image in listing.folders["cat"]] == ["a"] and list(listing.folders) == ["cat"]
    assert listing.skipped == []


def test_empty_files_broken_links_folders_and_unspeakable_names_are_skipped_and_listed(
    tmp_path, write_images
):
    write_images(tmp_path, {"cat": ["a.png"]})
    (tmp_path / "cat" / "empty.png").touch()
    (tmp_path / "cat" / "link.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "cat" / "folder.png").mkdir()
    with open(os.fsencode(tmp_path / "cat") + b"/caf\xe9.png", "wb") as file:
        file.write(b"x")
    listing = list_class_folders([tmp_path])
    assert [image.stem for image in listing.folders["cat"]] == ["a"]
    reasons = {record.split(": ")[0].rsplit("/", 1)[1]: record.split(": ")[1] for record in listing.skipped}
    assert reasons == {
        "empty.png": "the file is empty",
        "link.png": "No such file or directory",
        "folder.png": "not a file",
        "caf�.png": "its name is not valid text",
    }
