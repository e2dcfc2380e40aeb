"""Memory, time and recall of galleries of millions of photos, in every precision.

    python scripts/large_gallery.py --rows 100000 1000000 --precision int8 binary --json large.json

The photos are made up, in a stream: their features have the mean, the covariance between clusters and the covariance
within clusters of the photos of quickdraw-caltech in a CLIP. They are searched with features of one half of its real
drawings; with the other half the index is tuned. Every step is a process of its own, so that its peak memory is what
it takes. 10 million photos of 256 numbers need 11 GB of disk. `--width 512` imitates a CLIP of that width: two
independent halves of the same statistics.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

CLIP = "small-clip"
PRECISIONS = ("float32", "float16", "int8", "binary")
_QUERIES = 100
_PART = 65_536
_DEVIATIONS = 32_768  # from a cluster's centre; each photo has two of them
_PHOTOS_A_CLUSTER = 100  # made-up photos around one centre
_REAL_A_CLUSTER = 12  # real photos in a cluster whose spread is measured
TABLE = "photos-1.parquet"
MODEL = {
    "method": "none",
    "by_category": False,
    "base_model": None,
    "dtype": "float32",
    "weights": [],
    "photos": {},
}


def real_features(base_model: str, cache: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, D) of all photos of quickdraw-caltech in a CLIP, and of its drawings."""
    if cache is not None and cache.is_file():
        with np.load(cache) as file:
            return file["photos"], file["sketches"]
    from sketch_prompt import load_benchmark
    from sketch_prompt.data.quickdraw_caltech import SEEN_CLASSES, UNSEEN_CLASSES
    from sketch_prompt.evaluation import embed
    from sketch_prompt.models.loading import load_model

    model, processor = load_model("frozen-clip", base_model)
    everything = {"seen": [], "unseen": [*SEEN_CLASSES, *UNSEEN_CLASSES]}
    data = load_benchmark("quickdraw-caltech", split=everything)
    photos, sketches = (
        embed(model, data[f"test_{domain}"], processor, domain).features.astype(np.float32)
        for domain in ("photo", "sketch")
    )
    if cache is not None:
        np.savez(cache, photos=photos, sketches=sketches)
    return photos, sketches


def widened(features: np.ndarray, times: int) -> np.ndarray:
    """Features with several times the width: each beside others of the same table, which keeps all statistics."""
    shifts = range(0, times * 7, 7)
    return np.concatenate([np.roll(features, shift, axis=0) for shift in shifts], axis=1) / times**0.5


class MadeUpPhotos:
    """Unit vectors with the statistics of real ones, a part at a time; the same for every run.

    A photo is a cluster's centre and the sum of two of 32,768 deviations from it. Drawing 512 numbers for each photo
    instead takes most of the time of writing ten million.

    Args:
        real: (n, D) features of real photos.
        rows: how many to make up.
    """

    def __init__(self, real: np.ndarray, rows: int):
        import faiss

        self.rows, self.mean = rows, real.mean(0)
        clusters = faiss.Kmeans(real.shape[1], max(2, len(real) // _REAL_A_CLUSTER), niter=10, seed=0)
        clusters.cp.min_points_per_centroid = 1
        clusters.train(real)
        nearest = clusters.index.search(real, 1)[1].ravel()
        counts = np.bincount(nearest, minlength=len(clusters.centroids))
        # The centre of a cluster of m photos has an m-th of their spread itself, and they have lost as much around it.
        within = real - clusters.centroids[nearest]
        freedom = max(1, len(real) - int((counts > 0).sum()))
        self._within = _root(within.T @ within / freedom)
        centres = clusters.centroids[nearest] - self.mean
        spread = centres.T @ centres / len(real) - within.T @ within / freedom * (counts > 0).sum() / len(
            real
        )
        self._between = _root(spread)

    def parts(self) -> Iterator[np.ndarray]:
        """(n, D) float32 of length 1."""
        width = len(self.mean)
        drawn = np.random.default_rng(7).standard_normal((_DEVIATIONS, width), np.float32)
        deviations = drawn @ self._within / np.float32(2**0.5)
        for start in range(0, self.rows, _PART):
            generator = np.random.default_rng([7, start])
            count = min(_PART, self.rows - start)
            centres = (
                generator.standard_normal((-(-count // _PHOTOS_A_CLUSTER), width), np.float32) @ self._between
            )
            vectors = np.repeat(self.mean + centres, _PHOTOS_A_CLUSTER, axis=0)[:count]
            for chosen in generator.integers(0, _DEVIATIONS, (2, count)):
                vectors += deviations[chosen]
            vectors /= np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
            yield vectors


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    return ((vectors * np.sqrt(values.clip(0))) @ vectors.T).astype(np.float32)


def likeness(photos: np.ndarray, sketches: np.ndarray) -> dict[str, float]:
    """What a search depends on: how alike photos are, how much room they fill, how far the best stands out."""
    cosines = photos[:600] @ photos[600:1200].T
    values = np.linalg.eigvalsh(np.cov(photos.T))
    scores = np.sort(sketches @ photos.T, axis=1)
    return {
        "cosine of two photos": float(cosines.mean()),
        "its standard deviation": float(cosines.std()),
        "dimensions (participation ratio)": float(values.sum() ** 2 / (values**2).sum()),
        "best score over the median, in standard deviations of a drawing's scores": float(
            ((scores[:, -1] - np.median(scores, 1)) / scores.std(1)).mean()
        ),
    }


class _MadeUpTable:
    """The table of made-up photos, whose digests are their numbers, as far as it takes to write it."""

    def __init__(self, rows: int):
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def columns(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """The columns of the photos from `start` to before `stop`."""
        ids = np.arange(start, min(stop, self.rows))
        albums = [f"album {number // 1000:05d}" for number in ids]
        return {
            "id": ids,
            "path": np.array([f"{album}/IMG_{id:08d}.jpg" for album, id in zip(albums, ids)], object),
            "category": np.array(albums, object),
            "digest": digests(start, stop, self.rows).astype(str).astype(object),
            "size": 2_000_000 + ids * 2_654_435_761 % 3_000_000,
            "mtime_ns": 1_600_000_000_000_000_000 + ids * 61_000_000_000,
            "read_ns": 1_700_000_000_000_000_000 + ids * 10_000_000,
        }


def digests(start: int, stop: int, rows: int) -> np.ndarray:
    """(n,) of 32 letters."""
    return np.array([f"{number:032x}" for number in range(start, min(stop, rows))], "S32")


def opened(folder: Path):
    """Table and vectors of a gallery that `write` wrote, as a gallery opens them."""
    from sketch_prompt.gallery.store import FeatureStore
    from sketch_prompt.gallery.stored_table import StoredTable

    saved = json.loads((folder / "table.json").read_text())
    store, table = FeatureStore(folder / "features", MODEL), StoredTable(folder / TABLE, saved["parts"])
    store.read_blocks()
    places = table.places
    assert store.arrange(saved["blocks"], places)
    return table, store.vectors(table.digests, places)


def write(folder: Path, rows: int) -> dict[str, float]:
    """Write features and table of a gallery; find the true neighbours of the queries meanwhile."""
    from sketch_prompt.gallery.indexes.recall import RunningTruth
    from sketch_prompt.gallery.store import FeatureStore
    from sketch_prompt.gallery.stored_table import write_parts

    with np.load(folder / "real.npz") as real:
        photos, sketches = real["photos"], real["sketches"]
    store = FeatureStore(folder / "features", MODEL)
    truth, start, begin = RunningTruth(sketches[::2][:_QUERIES]), 0, time.perf_counter()
    for part in MadeUpPhotos(photos, rows).parts():
        stop = start + len(part)
        store.append(digests(start, stop, rows).astype(str).tolist(), part)
        truth.add(np.arange(start, stop), part)
        start = stop
    store.flush()
    np.savez(folder / "truth.npz", queries=truth.queries, ids=truth.ids)
    parts = write_parts(_MadeUpTable(rows), folder / TABLE, np.arange(rows, dtype=np.uint32))
    (folder / "table.json").write_text(json.dumps({"parts": parts, "blocks": store.layout()}))
    sizes = {"table_mb": (folder / TABLE).stat().st_size / 1e6}
    sizes["features_mb"] = sum(path.stat().st_size for path in (folder / "features").iterdir()) / 1e6
    return {"seconds": time.perf_counter() - begin, **sizes}


def build(folder: Path, rows: int, precision: str, kind: str) -> dict:
    """Build and save an index."""
    from sketch_prompt.gallery.indexes import make_index

    table, vectors = opened(folder)
    begin, cpu, index = time.perf_counter(), time.process_time(), make_index(kind, precision)
    with np.load(folder / "real.npz") as real:
        tuning = real["sketches"][1::2]
    index.drawings = lambda: tuning
    index.build(table.ids_for_search, vectors)
    seconds = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu}
    saved = index.save(folder, f"index-{precision}")
    (folder / f"{precision}.json").write_text(json.dumps(saved))
    size = (folder / saved["file"]).stat().st_size if "file" in saved else 0
    return {**seconds, "index_mb": size / 1e6, "index": index.describe()}


def search(folder: Path, rows: int, precision: str, kind: str) -> dict:
    """Open table, features and index, and search; every query reads the names of its ten photos too."""
    from sketch_prompt.gallery.indexes import make_index
    from sketch_prompt.gallery.indexes.recall import recall

    imported, begin = _peak_mb(), time.perf_counter()
    table, vectors = opened(folder)
    index = make_index(kind, precision)
    index.load(folder, json.loads((folder / f"{precision}.json").read_text()), table.ids_for_search, vectors)
    loaded = time.perf_counter() - begin
    with np.load(folder / "truth.npz") as truth:
        queries, ids = truth["queries"], truth["ids"]

    def shown(query: np.ndarray) -> list:
        found = index.search(query[None], 10).ids[0]
        return [table[row].path for row in table.ids_for_search.searchsorted(found)]

    seconds: dict[str, list[float]] = {"cold": [], "warm": [], "cpu": []}
    for turn in ("cold", "warm"):
        for query in queries:
            begin, cpu = time.perf_counter(), time.process_time()
            shown(query)
            seconds[turn].append(time.perf_counter() - begin)
            if turn == "warm":
                seconds["cpu"].append(time.process_time() - cpu)
    return {
        "load_seconds": loaded,
        "ms": 1000 * statistics.median(seconds["warm"]),
        "ms_95": 1000 * float(np.quantile(seconds["warm"], 0.95)),
        "ms_first": 1000 * statistics.median(seconds["cold"]),
        "cpu_ms": 1000 * statistics.median(seconds["cpu"]),
        "recall@10": recall(index.search(queries, 10).ids, ids),
        "resident_mb": _peak_mb(),
        "imports_mb": imported,
    }


def _peak_mb() -> float:
    from sketch_prompt.machine import peak_memory_bytes

    return peak_memory_bytes() / 1e6


STEPS = {"write": write, "build": build, "search": search}


def _step(name: str, *arguments: object) -> dict:
    command = [sys.executable, __file__, "--step", name, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(arguments: argparse.Namespace) -> dict:
    """How like the real ones the made-up photos are; memory, time and recall for every size and precision."""
    photos, sketches = real_features(arguments.base_model, arguments.features)
    halves = (arguments.width or photos.shape[1]) // photos.shape[1]
    photos, sketches = widened(photos, halves), widened(sketches, halves)
    made_up = next(MadeUpPhotos(photos, len(photos) * _PHOTOS_A_CLUSTER).parts())
    chosen = np.random.default_rng(0).choice(len(made_up), len(photos), replace=False)
    statistics_of = {"real": likeness(photos, sketches), "made up": likeness(made_up[chosen], sketches)}
    print(json.dumps(statistics_of), flush=True)
    galleries = []
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
            np.savez(Path(place) / "real.npz", photos=photos, sketches=sketches)
            written = _step("write", place, rows)
            for precision in arguments.precision:
                built = _step("build", place, rows, precision, arguments.kind)
                searched = _step("search", place, rows, precision, arguments.kind)
                about = {"rows": rows, "width": photos.shape[1], "precision": precision}
                galleries.append({**about, "write": written, "build": built, "search": searched})
                print(json.dumps(galleries[-1]), flush=True)
                for path in Path(place).glob(f"index-{precision}*"):
                    path.unlink()
    return {"statistics": statistics_of, "galleries": galleries}


def main() -> None:
    """Print a line of JSON for every gallery; write all of them to a file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="photos in a gallery"
    )
    parser.add_argument("--precision", nargs="+", default=["int8", "binary"], choices=PRECISIONS)
    parser.add_argument("--index", dest="kind", default="ivf", choices=["exact", "hnsw", "ivf"])
    parser.add_argument("--base-model", default=CLIP, help="the CLIP whose features are imitated")
    parser.add_argument("--width", type=int, help="numbers a feature; by default the CLIP's")
    parser.add_argument("--features", type=Path, help="file to keep the real features in")
    parser.add_argument("--folder", type=Path, help="where the made-up features are while they are needed")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("step_arguments", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step is not None:
        folder, rows, *others = arguments.step_arguments
        print(json.dumps(STEPS[arguments.step](Path(folder), int(rows), *others)))
        return
    measured = measure(arguments)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
