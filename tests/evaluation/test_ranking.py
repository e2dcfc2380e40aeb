"""Pairwise rankers rank as if every pair had been scored on its own."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sketch_prompt.evaluation import ranking
from sketch_prompt.evaluation.pairwise import EncodedBatch, PairStore
from sketch_prompt.evaluation.ranking import EmbeddingRanker, ExhaustiveRanker, Reranker

N_SKETCHES, N_PHOTOS = 9, 14
GROUPS = np.arange(N_SKETCHES) % 3, np.arange(N_PHOTOS) % 3


class PairModel(torch.nn.Module):
    """Scores a pair by a function of its rows, and counts."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.scored = []

    def prepare_pairs(self, tokens, domain):
        return {"row": tokens}

    def fuse_scores(self, similarities, pair_scores):
        return pair_scores

    def score_prepared(self, sketches, photos):
        assert not self.training
        self.scored += [(int(s), int(p)) for s in sketches["row"] for p in photos["row"]]
        return torch.sin(7.0 * sketches["row"][:, None] + photos["row"] ** 2)


def pair_score(sketch, photo):
    return np.sin(7.0 * sketch + photo**2)


@pytest.fixture
def case(monkeypatch):
    monkeypatch.setattr(ranking, "_TILE", 4)
    generator = np.random.default_rng(0)
    tables, stores = [], []
    for size in (N_SKETCHES, N_PHOTOS):
        rows = np.arange(size) * 2 + 1  # as if every other image were unreadable
        features = generator.standard_normal((size, 6)).astype(np.float32)
        store = PairStore()
        store.add(0, EncodedBatch(rows.tolist(), features, {"tokens": torch.from_numpy(rows).double()}, {}))
        tables.append(SimpleNamespace(features=features, rows=rows))
        stores.append(store)
    return PairModel().train(), tables, stores


def matrix(scores):
    return np.concatenate([block.copy() for _, block in scores.blocks()])


@pytest.mark.parametrize("folder", [False, True])
def test_exhaustive_ranking_scores_every_pair_once(case, folder, tmp_path):
    model, (sketches, photos), stores = case
    ranker = ExhaustiveRanker(model, *stores, folder=tmp_path if folder else None, progress=False)
    scores = matrix(ranker(sketches, photos))
    np.testing.assert_allclose(scores, pair_score(sketches.rows[:, None], photos.rows), atol=1e-6)
    assert len(model.scored) == len(set(model.scored)) == ranker.pairs == N_SKETCHES * N_PHOTOS
    assert model.training
    matrix(
        ExhaustiveRanker(model, *stores, folder=tmp_path if folder else None, progress=False)(
            sketches, photos
        )
    )
    assert len(model.scored) == N_SKETCHES * N_PHOTOS * (1 if folder else 2)


def test_exhaustive_ranking_scores_pairs_of_one_group_alone(case):
    model, (sketches, photos), stores = case
    ranker = ExhaustiveRanker(model, *stores, progress=False)
    scores = matrix(ranker(sketches, photos, *GROUPS))
    same = GROUPS[0][:, None] == GROUPS[1]
    assert ranker.pairs == same.sum() and (scores[~same] == -np.inf).all()
    expected = pair_score(sketches.rows[:, None], photos.rows)
    np.testing.assert_allclose(scores[same], expected[same], atol=1e-6)


@pytest.mark.parametrize("groups", [(None, None), GROUPS], ids=["all", "groups"])
@pytest.mark.parametrize("shortlist", [1, 3, 100])
def test_reranking_orders_the_first_photos_of_each_query_by_their_pairs(case, groups, shortlist):
    model, (sketches, photos), stores = case
    ranker = Reranker(model, *stores, shortlist=shortlist, progress=False)
    scores = matrix(ranker(sketches, photos, *groups))
    first = sketches.features @ photos.features.T
    pairs = 0
    for i in range(N_SKETCHES):
        searched = np.arange(N_PHOTOS) if groups[0] is None else np.flatnonzero(groups[1] == groups[0][i])
        order = searched[np.argsort(-first[i, searched])]
        head, tail = order[:shortlist], order[shortlist:]
        head = head[np.argsort(-pair_score(sketches.rows[i], photos.rows[head]))]
        pairs += len(head)
        assert searched[np.argsort(-scores[i, searched])].tolist() == [*head, *tail]
    assert ranker.pairs == len(model.scored) == pairs


def test_a_shortlist_needs_a_photo(case):
    with pytest.raises(ValueError, match="shortlist must be at least 1, not 0"):
        Reranker(case[0], *case[2], shortlist=0)


def test_ranking_by_embedding_scores_no_pair(case):
    _, (sketches, photos), _ = case
    ranker = EmbeddingRanker()
    np.testing.assert_allclose(
        matrix(ranker(sketches, photos)), sketches.features @ photos.features.T, rtol=1e-5
    )
    assert ranker.pairs == 0
