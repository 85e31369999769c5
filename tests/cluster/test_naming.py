from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from mmgraph.cluster.clustering import Clustering
from mmgraph.cluster.naming import name_clusters, texts_by_id
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError


def _clusters(code: list[int]) -> Clustering:
    return Clustering.from_codes(NodeIds([f"n{i}" for i in range(len(code))]), np.array(code), method="test")


def test_words_that_set_a_cluster_apart() -> None:
    texts = {
        "n0": "Red apple",
        "n1": "the green apple 2019",
        "n2": "ripe apple",
        "n3": "Red car",
        "n4": "a car and a fast car",
    }
    found = name_clusters(_clusters([0, 0, 0, 1, 1]), texts, num_words=2)
    # 6 words in the first cluster, 5 in the second: A = 5.5. apple 3/6 log(1 + 5.5/3), green and ripe 1/6 log(1 + 5.5) (in
    # alphabetical order), red 1/6 log(1 + 5.5/2); the, a, and, 2019 are no words.
    assert found.names == ("apple, green", "car, fast")
    apple, green = 3 / 6 * math.log1p(5.5 / 3), 1 / 6 * math.log1p(5.5)
    assert apple > green > 1 / 6 * math.log1p(5.5 / 2)


def test_a_word_that_is_everywhere_loses_to_a_rare_one() -> None:
    texts = {"n0": "emoji emoji cat", "n1": "emoji emoji dog", "n2": "emoji emoji fish"}
    scores = {word: share * math.log1p(3 / count) for word, share, count in (("emoji", 2 / 3, 6), ("cat", 1 / 3, 1))}
    assert scores["cat"] > scores["emoji"]
    assert name_clusters(_clusters([0, 1, 2]), texts, num_words=1).names == ("cat", "dog", "fish")


def test_nodes_and_clusters_without_words() -> None:
    found = name_clusters(_clusters([0, 0, 1]), {"n0": "sun", "n2": None})
    assert found.names == ("sun", "")
    assert name_clusters(_clusters([0, 0, 1]), {}).names == ("", "")
    assert name_clusters(_clusters([0, 0, 1]), {"n0": "the 12"}).names == ("", "")


def test_texts_are_joined_by_id() -> None:
    texts = {"n0": "sun", "n1": "moon", "n2": "star"}
    names = name_clusters(_clusters([0, 1, 1]), texts).names
    assert names == name_clusters(_clusters([0, 1, 1]), dict(reversed(texts.items()))).names == ("moon, star", "sun")
    with pytest.raises(InputError, match="texts of clusters: 1 unknown ids: 'q'"):
        name_clusters(_clusters([0, 1]), {"q": "sun"})
    with pytest.raises(InputError, match="num_words must be at least 1"):
        name_clusters(_clusters([0, 1]), texts, num_words=0)


def test_text_comes_from_the_first_column_that_has_some() -> None:
    ids = NodeIds([3, 1])
    columns = pa.table({"name": ["x", "y"], "title": ["red", None], "text": [1, 2]})
    assert texts_by_id(ids, columns) == {3: "red", 1: None}
    assert texts_by_id(ids, columns.select(["name"])) == {3: "x", 1: "y"}
    assert texts_by_id(ids, pa.table({"year": [1, 2]})) == texts_by_id(ids, None) == {}
