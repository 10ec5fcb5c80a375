"""What a reranker is taught: shares of lists, in batches of about equal length."""

import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.losses import ListNetLoss

from service.model_cards import DEFAULT_ENCODER
from tests.training.small_lists import small_lists
from workers.training.length_sorted_batches import LengthSortedBatches
from workers.training.listwise_loss import SortedListNet, log_shares, target_shares
from workers.training.ranking_lists import RankingList
from workers.training.starting_model import freeze_word_embeddings, starting_reranker
from workers.training.warm_up import warm_up_lists


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return starting_reranker(DEFAULT_ENCODER, 1, 64, seed=1)


def test_the_first_layers_of_a_bi_encoder_become_a_cross_encoder(model: CrossEncoder) -> None:
    assert sum("attention.self.query.weight" in name for name in model.state_dict()) == 1
    assert model.num_labels == 1
    same = starting_reranker(DEFAULT_ENCODER, 1, 64, seed=1)
    other = starting_reranker(DEFAULT_ENCODER, 1, 64, seed=2)
    pair = [("a query", "a passage")]
    assert model.predict(pair) == same.predict(pair)
    assert model.predict(pair) != other.predict(pair)


def test_frozen_word_embeddings_are_not_trained(model: CrossEncoder) -> None:
    frozen = freeze_word_embeddings(model)
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    assert frozen == 30522 * 384
    assert trained < frozen


def test_the_loss_is_listnets_whatever_the_order_that_pairs_run_in(model: CrossEncoder) -> None:
    lists = [
        RankingList("a pump", ["short", "a passage that is much longer " * 4, "of few words"],
                    [1, 0, 2]),
        RankingList("b", ["water and steam", "x " * 30], [0, 1]),
    ]  # fmt: skip
    inputs = [[each.query for each in lists], [each.passages for each in lists]]
    labels = [torch.tensor(log_shares(target_shares(each, 0))) for each in lists]
    model.eval()  # no dropout
    with torch.inference_mode():
        ours = [float(SortedListNet(model, run)(inputs, labels)) for run in (1, 2, 100)]
        theirs = float(ListNetLoss(model)(inputs, labels))
    assert ours == pytest.approx([theirs] * 3, rel=1e-5)


def test_grades_and_a_teacher_share_a_list() -> None:
    graded = RankingList("q", ["a", "b", "c"], [3, 1, 0])
    assert target_shares(graded, 0.5) == pytest.approx([0.75, 0.25, 0])
    taught = RankingList("q", ["a", "b"], [1, 0], teacher=[10, 30])
    # Spread to -1 and 1, over a temperature of a half.
    high = 1 / (1 + math.exp(-4))
    assert target_shares(taught, 0.5) == pytest.approx([0.5 + 0.5 * (1 - high), 0.5 * high])
    unjudged = RankingList("q", ["a", "b"], [0, 0], teacher=[10, 30])
    assert target_shares(unjudged, 0.5) == pytest.approx([1 - high, high])
    level = RankingList("q", ["a", "b"], [0, 0], teacher=[7, 7])
    assert target_shares(level, 0.5) == pytest.approx([0.5, 0.5])
    logarithms = torch.tensor(log_shares(np.array([0.75, 0.25, 0.0])))
    assert torch.softmax(logarithms, 0).tolist() == pytest.approx([0.75, 0.25, 0], abs=1e-5)


def test_batches_hold_every_list_once_and_equals_together() -> None:
    rows = Dataset.from_dict({"passages": [["x" * (number % 40)] for number in range(100)]})
    sampler = LengthSortedBatches(rows, batch_size=8, drop_last=False, seed=3)
    first, again = list(sampler), list(sampler)
    assert first == again
    assert sorted(row for batch in first for row in batch) == list(range(100))
    assert len(first) == len(sampler) == 13
    assert max(max(r % 40 for r in batch) - min(r % 40 for r in batch) for batch in first) < 8
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_the_warm_up_is_about_random_passages_of_other_queries() -> None:
    lists = small_lists(10)
    made = warm_up_lists(lists, 25, seed=1)
    assert made == warm_up_lists(lists, 25, seed=1)
    assert len(made) == 25
    for number, each in enumerate(made):
        own = lists[number % 10]
        assert each.query == own.query
        assert own.passages[0] in each.passages
        assert len(set(each.passages)) == 8
    assert any(
        each.passages[0] != lists[number % 10].passages[0] for number, each in enumerate(made)
    )
