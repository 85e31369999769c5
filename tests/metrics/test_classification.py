from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mmgraph.errors import InputError
from mmgraph.metrics.classification import accuracy, macro_auc, macro_f1, multilabel_macro_f1, roc_auc


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 8))
@settings(max_examples=25, deadline=None)
def test_accuracy_and_macro_f1_equal_scikit_learn(seed: int, size: int, num_classes: int) -> None:
    random = np.random.default_rng(seed)
    target, prediction = random.integers(num_classes, size=(2, size))
    ours, truth = torch.from_numpy(prediction), torch.from_numpy(target)
    assert accuracy(ours, truth) == pytest.approx(sk.accuracy_score(target, prediction))
    assert macro_f1(ours, truth) == pytest.approx(sk.f1_score(target, prediction, average="macro"))


def test_macro_f1_by_hand() -> None:
    # Class 0: precision 1/2, recall 1; class 1: nothing right; class 2 occurs nowhere and does not count.
    assert macro_f1(torch.tensor([0, 0, 3]), torch.tensor([0, 1, 3])) == pytest.approx((2 / 3 + 0 + 1) / 3)


@given(st.integers(0, 10_000), st.integers(2, 30), st.booleans())
@settings(max_examples=25, deadline=None)
def test_auc_equals_scikit_learn(seed: int, size: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    scores = random.normal(size=(size, 4)).astype(np.float32)
    scores = scores.round() if ties else scores
    target = random.random((size, 4)) < 0.4
    area = roc_auc(torch.from_numpy(scores), torch.from_numpy(target))
    for label in range(4):
        if target[:, label].any() and not target[:, label].all():
            assert area[label].item() == pytest.approx(sk.roc_auc_score(target[:, label], scores[:, label]))
        else:
            assert math.isnan(area[label].item())


def test_auc_is_averaged_over_labels_with_both_classes() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.3], [0.1, 0.2, 0.3], [0.5, 0.3, 0.3]])
    target = torch.tensor([[True, False, True], [False, False, False], [False, False, False]])
    assert macro_auc(scores, target) == pytest.approx((1.0 + 0.5) / 2)
    with pytest.raises(InputError, match="undefined"):
        macro_auc(scores[:, 1:2], target[:, 1:2])
    with pytest.raises(InputError, match="NaN"):
        macro_auc(torch.full((3, 3), math.nan), target)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_multilabel_f1_equals_scikit_learn_over_labels_that_occur(seed: int) -> None:
    random = np.random.default_rng(seed)
    prediction, target = random.random((2, 9, 5)) < 0.3
    occurs = prediction.any(axis=0) | target.any(axis=0)
    if not occurs.any():
        return
    per_label = sk.f1_score(target, prediction, average=None, zero_division=0)
    ours = multilabel_macro_f1(torch.from_numpy(prediction), torch.from_numpy(target))
    assert ours == pytest.approx(per_label[occurs].mean())


def test_nothing_to_average_over() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(InputError, match="no examples"):
        accuracy(empty, empty)
    with pytest.raises(InputError, match="one target per prediction"):
        macro_f1(torch.zeros(2, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="undefined"):
        multilabel_macro_f1(torch.zeros(2, 2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool))
