"""Trees with the real naming of every packaging load to the right classes and counts."""

import os
import re

import pytest

from sketch_prompt.data.benchmarks import load_benchmark, make_builder
from sketch_prompt.data.packagings import Packaging, find_packaging, search_bases
from sketch_prompt.data.splits import SPLIT_NAMES, published_split

# How the archives and packagings spell what a separator alone does not give.
ARCHIVE = {"hot air balloon": "hot-air_balloon", "car sedan": "car_(sedan)", "hot dog": "hotdog"}
KEPT = {"jack-o-lantern", "t-shirt"}
TU_BERLIN = {
    "bear animal": "bear (animal)",
    "car sedan": "car (sedan)",
    "crane machine": "crane (machine)",
    "mouse animal": "mouse (animal)",
    "pipe for smoking": "pipe (for smoking)",
    "frying pan": "frying-pan",
    "teddy bear": "teddy-bear",
}
TU_BERLIN_PHOTOS = {
    "chandelier": "chandeler",
    "diamond": "diamod",
    "giraffe": "griaffe",
    "mouse animal": "mouse",
    "pipe for smoking": "pipe",
    "space shuttle": "spacesshuttle",
    "spider": "spidar",
    "trombone": "tromobone",
    "wristwatch": "wristwatching",
}
QUICKDRAW = {"hot air balloon": "hot-air_balloon", "pickup truck": "pickup_truck", "sea turtle": "sea_turtle"}


def archive_name(name):
    return ARCHIVE.get(name, name if name in KEPT else name.replace(" ", "_"))


def underscored(name):
    return re.sub(r"[ -]", "_", TU_BERLIN.get(name, ARCHIVE.get(name, name)))


def tu_berlin_name(name):
    return TU_BERLIN.get(name, name)


def tu_berlin_photo_name(name):
    return TU_BERLIN_PHOTOS.get(name, re.sub(r"[^a-z]", "", name))


def quickdraw_name(name):
    return QUICKDRAW.get(name, name)


# (benchmark, photo folders, sketch folders, spelling of the photo and of the sketch folders)
PACKAGINGS = {
    "Sketchy archive": (
        "sketchy-25",
        ["256x256/photo/tx_000000000000", "256x256/EXTEND_image_sketchy"],
        ["256x256/sketch/tx_000000000000"],
        archive_name,
        archive_name,
    ),
    "Sketchy, SAKE and ZSE-SBIR": (
        "sketchy-21",
        ["Sketchy/256x256/photo/tx_000000000000_ready", "Sketchy/EXTEND_image_sketchy_ready"],
        ["Sketchy/256x256/sketch/tx_000000000000_ready"],
        archive_name,
        archive_name,
    ),
    "Sketchy, SEM-PCYC": (
        "sketchy-25",
        ["Sketchy/photo/tx_000000000000", "Sketchy/extended_photo"],
        ["Sketchy/sketch/tx_000000000000"],
        underscored,
        archive_name,
    ),
    "Sketchy, SEM-PCYC, plain": (
        "sketchy-21",
        ["Sketchy/photo", "Sketchy/extended_photo"],
        ["Sketchy/sketch"],
        underscored,
        underscored,
    ),
    "TU-Berlin archives": (
        "tu-berlin-30",
        ["ImageResized"],
        ["png"],
        tu_berlin_photo_name,
        tu_berlin_name,
    ),
    "TU-Berlin, SAKE and ZSE-SBIR": (
        "tu-berlin-30",
        ["TUBerlin/ImageResized_ready"],
        ["TUBerlin/png_ready"],
        tu_berlin_photo_name,
        tu_berlin_name,
    ),
    "TU-Berlin, SEM-PCYC": (
        "tu-berlin-30",
        ["TU-Berlin/images"],
        ["TU-Berlin/sketches"],
        underscored,
        underscored,
    ),
    "QuickDraw archives": (
        "quickdraw-30",
        ["QuickDraw_images_final"],
        ["QuickDraw_sketches_final"],
        quickdraw_name,
        underscored,
    ),
    "QuickDraw, SEM-PCYC and ZSE-SBIR": (
        "quickdraw-30",
        ["QuickDraw/images"],
        ["QuickDraw/sketches"],
        quickdraw_name,
        quickdraw_name,
    ),
}


@pytest.fixture(params=PACKAGINGS)
def packaging(request, tmp_path, write_images):
    """A tree of a packaging: two images in every photo folder of a class, three in every sketch folder."""
    benchmark, photo_roots, sketch_roots, photo_name, sketch_name = PACKAGINGS[request.param]
    names = published_split(benchmark).class_names
    extension = "JPEG" if benchmark == "tu-berlin-30" else "jpg"
    for number, root in enumerate(photo_roots):
        photos = {photo_name(name): [f"p{number}_{k}.{extension}" for k in range(2)] for name in names}
        write_images(tmp_path / "data" / root, photos)
    for root in sketch_roots:
        write_images(
            tmp_path / "data" / root, {sketch_name(name): ["p0_0-1.png", "p0_0-2.png"] for name in names}
        )
    return benchmark, tmp_path / "data", 2 * len(photo_roots)


def test_every_packaging_loads_to_the_published_classes_and_its_own_counts(packaging, tmp_path):
    benchmark, data_dir, n_photos = packaging
    data = load_benchmark(benchmark, data_dir, cache_dir=tmp_path / "cache")
    split = published_split(benchmark)
    assert data["test_photo"].features["label"].names == list(split.class_names)
    sizes = {"train": len(split.seen), "test": len(split.unseen)}
    for name in SPLIT_NAMES:
        part, domain = name.split("_")
        per_class = n_photos if domain == "photo" else 2
        labels = data[name]["label"][:]
        assert len(labels) == per_class * sizes[part]
        first = 0 if part == "train" else sizes["train"]
        assert sorted(set(labels)) == list(range(first, first + sizes[part]))
    if benchmark.startswith("sketchy"):
        assert set(data["test_sketch"]["instance_id"][:]) == {"p0_0"}


LISTED = {
    "sketchy-21": (
        "Sketchy",
        "zeroshot0",
        ("256x256/photo/tx_000000000000_ready", "EXTEND_image_sketchy_ready"),
        "256x256/sketch/tx_000000000000_ready",
        ("all_photo_filelist_{}.txt", "sketch_tx_000000000000_ready_filelist_{}.txt"),
        archive_name,
    ),
    "tu-berlin-30": (
        "TUBerlin",
        "zeroshot",
        ("ImageResized_ready",),
        "png_ready",
        ("ImageResized_ready_filelist_{}.txt", "png_ready_filelist_{}.txt"),
        tu_berlin_name,
    ),
    "quickdraw-30": (
        "QuickDraw",
        "zeroshot",
        ("images",),
        "sketches",
        ("all_photo_{}.txt", "sketch_{}.txt"),
        quickdraw_name,
    ),
}


def write_lists(base, benchmark, photos, sketches):
    """List files in the form of ZSE-SBIR's, naming the given files of every class."""
    _, folder, photo_roots, sketch_root, (photo_list, sketch_list), spelled = LISTED[benchmark]
    (base / folder).mkdir(parents=True)
    split = published_split(benchmark)
    for part, ending, names in (("train", "", split.seen), ("zero", "_zero", split.unseen)):
        (base / folder / f"cname_cid{ending}.txt").write_text(
            "".join(f"{spelled(name)} {i}\n" for i, name in enumerate(names))
        )
        for list_name, roots, files in (
            (photo_list, photo_roots, photos),
            (sketch_list, [sketch_root], sketches),
        ):
            lines = [
                f"{root}/{spelled(name)}/{file} {i}\n"
                for root in roots
                for i, name in enumerate(names)
                for file in files
            ]
            (base / folder / list_name.format(part)).write_text("".join(lines))


@pytest.fixture(params=LISTED)
def listed(request, tmp_path, write_images):
    """A packaging whose lists name one of two photos and two of three sketches a class."""
    benchmark = request.param
    container, _, photo_roots, sketch_root, _, spelled = LISTED[benchmark]
    base = tmp_path / "data" / container
    names = published_split(benchmark).class_names
    for root in photo_roots:
        write_images(base / root, {spelled(name): ["a.jpg", "b.jpg"] for name in names})
    write_images(base / sketch_root, {spelled(name): ["a-1.png", "a-2.png", "b-1.png"] for name in names})
    write_lists(base, benchmark, ["a.jpg"], ["a-1.png", "b-1.png"])
    return benchmark, base


def test_list_files_win_over_what_else_is_in_the_folders(listed, tmp_path):
    benchmark, base = listed
    data = load_benchmark(benchmark, base.parent, cache_dir=tmp_path / "cache")
    n_roots = len(LISTED[benchmark][2])
    split = published_split(benchmark)
    for part, names in (("train", split.seen), ("test", split.unseen)):
        assert data[f"{part}_photo"].num_rows == n_roots * len(names)
        assert data[f"{part}_sketch"].num_rows == 2 * len(names)


def test_a_list_that_is_absent_leaves_its_part_to_the_folders(listed, tmp_path):
    benchmark, base = listed
    _, folder, _, _, (photo_list, _), _ = LISTED[benchmark]
    (base / folder / photo_list.format("train")).unlink()
    data = load_benchmark(benchmark, base.parent, cache_dir=tmp_path / "cache")
    n_seen = len(published_split(benchmark).seen)
    n_roots = len(LISTED[benchmark][2])
    assert data["train_photo"].num_rows == 2 * n_roots * n_seen
    assert data["train_sketch"].num_rows == 2 * n_seen


@pytest.mark.parametrize("listed", ["sketchy-21"], indirect=True)
def test_lists_of_another_protocol_are_not_used(listed, tmp_path):
    _, base = listed
    data = load_benchmark("sketchy-25", base.parent, cache_dir=tmp_path / "cache")
    assert data["train_sketch"].num_rows == 300


def test_listed_files_that_are_absent_are_skipped_and_recorded(listed, tmp_path):
    benchmark, base = listed
    sketch_root, spelled = LISTED[benchmark][3], LISTED[benchmark][5]
    gone = spelled(published_split(benchmark).unseen[0])
    (base / sketch_root / gone / "a-1.png").unlink()
    builder = make_builder(benchmark, base.parent, cache_dir=tmp_path / "cache")
    (record,) = builder.config.list_contents().skipped
    assert f"{gone}/a-1.png: named in " in record and "but absent" in record


def test_lists_that_name_none_of_the_files_are_an_error(listed, tmp_path):
    benchmark, base = listed
    _, folder, _, _, (_, sketch_list), _ = LISTED[benchmark]
    (base / folder / sketch_list.format("zero")).write_text("elsewhere/cat/x.png 0\n")
    with pytest.raises(ValueError, match="none of the files named in"):
        load_benchmark(benchmark, base.parent, cache_dir=tmp_path / "cache")


def test_a_malformed_line_of_a_list_is_an_error_with_its_place(listed, tmp_path):
    benchmark, base = listed
    _, folder, _, _, (_, sketch_list), _ = LISTED[benchmark]
    (base / folder / sketch_list.format("zero")).write_text("\nsketches/cat/x.png\n")
    with pytest.raises(ValueError, match="line 2: not `path class_id`"):
        load_benchmark(benchmark, base.parent, cache_dir=tmp_path / "cache")


def test_a_class_absent_from_a_packaging_is_an_error_naming_it(listed, tmp_path):
    benchmark, base = listed
    os.rename(base / LISTED[benchmark][3] / LISTED[benchmark][5]("windmill"), base / "windmill")
    for path in (base / LISTED[benchmark][1]).iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="classes without a sketch: windmill"):
        load_benchmark(benchmark, base.parent, cache_dir=tmp_path / "cache")


def test_a_packaging_needs_all_its_folders_and_finds_them_in_nested_containers(tmp_path):
    kinds = (
        Packaging("a", ("photo", "more"), ("sketch",)),
        Packaging("b", ("photo",), ("sketch",), ("extra",)),
    )
    (tmp_path / "X" / "Y" / "photo").mkdir(parents=True)
    (tmp_path / "X" / "sketch").mkdir()
    bases = search_bases([str(tmp_path)], ["X", "Y"])
    assert [os.path.relpath(base, tmp_path) for base in bases] == [".", "X", os.path.join("X", "Y")]
    found = find_packaging(bases, kinds)
    assert found.name == "b" and found.photos == (str(tmp_path / "X" / "Y" / "photo"),)
    (tmp_path / "extra").mkdir()
    assert len(find_packaging(bases, kinds).photos) == 2
    assert len(find_packaging(bases, kinds, extra_photos=False).photos) == 1
    (tmp_path / "more").mkdir()
    assert find_packaging(bases, kinds).name == "a"
    assert find_packaging(bases[:1], kinds) is None
