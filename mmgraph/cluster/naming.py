"""Names for clusters: the words that are frequent in a cluster and rare elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from mmgraph.cluster.clustering import Clustering
from mmgraph.data.ids import NodeIds
from mmgraph.errors import InputError

TEXT_COLUMNS = ("text", "title", "name")
"""Columns that hold the text of a node, the first that exists counts."""

WORD = r"(?u)\b[^\W\d_]\w+\b"
"""At least two characters, the first a letter: years and numbers name nothing."""


def name_clusters(clustering: Clustering, texts: Mapping[Any, str | None], *, num_words: int = 4) -> Clustering:
    """Name each cluster by the words of highest class-based TF-IDF [1]: `tf(word, cluster) * log(1 + A / f(word))`.

    All texts of a cluster are one document: `tf` is the share of the word among its words, `f` counts the word in all
    clusters, and A is the mean number of words of a cluster. Lower case, without English stop words; equal values in
    alphabetical order. A cluster without words is named by the empty string.

    Args:
        clustering: The clusters.
        texts: Text of nodes by id; nodes may be missing or have `None`.
        num_words: Words of a name, at least 1.

    Returns:
        The same clusters with names.

    Raises:
        InputError: If texts are of ids that the clustering does not have, or `num_words` is below 1.

    References:
        [1] Grootendorst, 2022, BERTopic: Neural topic modeling with a class-based TF-IDF procedure, arXiv:2203.05794.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    if num_words < 1:
        raise InputError(f"num_words must be at least 1, got {num_words}")
    known = {node_id: text for node_id, text in texts.items() if text}
    position = clustering.node_ids.positions(list(known), where="texts of clusters") if known else np.empty(0, np.int64)
    documents: list[list[str]] = [[] for _ in range(clustering.num_clusters)]
    for number, text in zip(clustering.cluster.numpy()[position].tolist(), known.values(), strict=True):
        documents[number].append(text)
    vectorizer = CountVectorizer(stop_words="english", token_pattern=WORD)
    try:
        counts = vectorizer.fit_transform([" ".join(parts) for parts in documents]).tocsr()
    except ValueError:  # no words at all; there is nothing else that it refuses in strings
        return replace(clustering, names=("",) * clustering.num_clusters)
    words = vectorizer.get_feature_names_out()
    size = np.asarray(counts.sum(axis=1)).ravel()
    weight = np.log1p(size.mean() / np.asarray(counts.sum(axis=0)).ravel())
    names = []
    for number in range(clustering.num_clusters):
        row = slice(counts.indptr[number], counts.indptr[number + 1])
        column = counts.indices[row]
        value = counts.data[row] / max(size[number], 1) * weight[column]
        best = np.lexsort((column, -value))[:num_words]  # columns are in alphabetical order
        names.append(", ".join(words[column[best]]))
    return replace(clustering, names=tuple(names))


def texts_by_id(node_ids: NodeIds, columns: pa.Table | None) -> dict[Any, str | None]:
    """Texts of nodes from the columns that graphs and embeddings carry along; empty if there is no such column.

    Args:
        node_ids: Ids in the order of the rows of `columns`.
        columns: Table with one row per node, or `None`.
    """
    for name in TEXT_COLUMNS:
        if columns is not None and name in columns.column_names and pa.types.is_string(columns[name].type):
            return dict(zip(node_ids.values.tolist(), columns[name].to_pylist(), strict=True))
    return {}
