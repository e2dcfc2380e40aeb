import numpy as np

from evaluation.tiny import UNSEEN, TinyModel, TinyProcessor, write_benchmark
from sketch_prompt.evaluation import embed_benchmark
from sketch_prompt.evaluation.rankings import choose_queries, ranked_queries


def test_queries_cover_the_classes_before_any_comes_again():
    labels = np.repeat([0, 1, 2], [50, 5, 2])
    chosen = choose_queries(labels, 6)
    assert sorted(labels[chosen[:3]]) == sorted(labels[chosen[3:]]) == [0, 1, 2]
    assert len(set(chosen)) == 6
    assert len(choose_queries(labels, 100)) == 57
    assert chosen.tolist() == choose_queries(labels, 6).tolist()


def test_ranked_queries_show_the_best_photos_and_which_are_right(tmp_path):
    benchmark = write_benchmark(tmp_path)
    sketches, photos = embed_benchmark(TinyModel(), TinyProcessor(), benchmark, progress=False)
    (tmp_path / "photo" / "bee" / "0.png").unlink()
    rows = ranked_queries(benchmark, sketches, photos, [0, 8], top_k=18)
    assert [row.query_title for row in rows] == ["bee", "t shirt"]
    for row in rows:
        assert row.correct == [title == row.query_title for title in row.titles]
        assert set(row.titles) == set(UNSEEN)
        assert row.scores == sorted(row.scores, reverse=True)
        assert row.gallery_images.count(None) == 1
