from dataclasses import replace

import numpy as np

from fakes.benchmarks import UNSEEN, write_benchmark
from fakes.models import TinyModel, TinyProcessor
from sketch_prompt.evaluation import embed_benchmark
from sketch_prompt.evaluation.outputs import choose_queries, extreme_queries, ranked_queries
from sketch_prompt.evaluation.search import search_categories, search_instances


def test_queries_cover_the_classes_before_any_comes_again():
    labels = np.repeat([0, 1, 2], [50, 5, 2])
    chosen = choose_queries(labels, 6)
    assert sorted(labels[chosen[:3]]) == sorted(labels[chosen[3:]]) == [0, 1, 2]
    assert len(set(chosen)) == 6
    assert len(choose_queries(labels, 100)) == 57
    assert chosen.tolist() == choose_queries(labels, 6).tolist()


def searched(folder, instances=False, **options):
    benchmark = write_benchmark(folder)
    tables = embed_benchmark(TinyModel(), TinyProcessor(), benchmark, progress=False)
    if instances:
        return benchmark, search_instances(benchmark, *tables, **options)
    return benchmark, search_categories(*tables, progress=False)


def test_extreme_queries_are_the_best_and_the_worst_two_of_a_class_at_most(tmp_path):
    _, search = searched(tmp_path)
    quality = np.array([0.1, 0.2, 0.3, 0.9, 0.8, 0.95, 0.5, 0.4, np.nan])
    search = replace(search, quality=quality)
    assert extreme_queries(search, 4, best=False).tolist() == [0, 1, 7, 6]
    assert extreme_queries(search, 4, best=True).tolist() == [5, 3, 6, 7]
    assert extreme_queries(search, 9, best=True).tolist() == [5, 3, 4, 6, 7, 2, 1, 0]


def test_queries_that_did_equally_well_are_drawn_the_same_way_every_time(tmp_path):
    _, search = searched(tmp_path)
    search = replace(search, quality=np.ones(9))
    chosen = [extreme_queries(search, 3, best=True, seed=seed).tolist() for seed in (0, 0, 1, 2)]
    assert chosen[0] == chosen[1]
    assert any(other != chosen[0] for other in chosen[2:])


def test_own_photo_of_an_instance_query_is_always_shown_with_its_rank(tmp_path):
    benchmark, search = searched(tmp_path, instances=True)
    far = int(np.argmax(search.own_ranks))
    assert search.own_ranks[far] >= 2
    (row,) = ranked_queries(benchmark, search, [far], top_k=2)
    assert row.correct == [False, True]
    assert row.ranks == [1, search.own_ranks[far] + 1]
    assert row.titles[1] == search.sketches.instance_ids[far]
    assert row.scores[1] <= row.scores[0]
    assert row.query_caption == f"its photo: rank {search.own_ranks[far] + 1}"


def test_ranked_queries_show_the_best_photos_and_which_are_right(tmp_path):
    benchmark, search = searched(tmp_path)
    (tmp_path / "photo" / "bee" / "0.png").unlink()
    rows = ranked_queries(benchmark, search, [0, 8], top_k=18)
    assert [row.query_title for row in rows] == ["bee", "t shirt"]
    for row in rows:
        assert row.correct == [title == row.query_title for title in row.titles]
        assert set(row.titles) == set(UNSEEN)
        assert row.scores == sorted(row.scores, reverse=True)
        assert row.gallery_images.count(None) == 1
