"""Which ratings and genres are held out: by the time of each user, by calendar time, by movie."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from mmgraph.data.raw import RawGraph
from mmgraph.datasets.movielens.source import LIKED
from mmgraph.seeding import generator
from mmgraph.splits.base import TRAIN, UNUSED, Split
from mmgraph.splits.content import content_groups
from mmgraph.splits.groups import NODE_SHARES, grouped_split
from mmgraph.splits.interactions import split_cold_items, split_interactions_by_time

PER_USER, BY_TIME, COLD_ITEMS = "movielens-100k", "movielens-100k-by-time", "movielens-100k-cold-items"
KNOWLEDGE = "movielens-100k-knowledge"
RELATION, USER, MOVIE = "likes", "user", "movie"


def split_likes(name: str, graph: RawGraph, ratings: pd.DataFrame, seed: int) -> Split:
    """The split that a dataset holds out, with ratings below `LIKED` that users are known to have given as `unused`.

    Args:
        name: Name of the dataset.
        graph: The graph with all likes.
        ratings: As `parse_ratings` gives them.
        seed: Seed of what is drawn.
    """
    lower = ratings[ratings["rating"] < LIKED]
    if name == BY_TIME:
        split = split_interactions_by_time(graph, RELATION)
        first = split.settings["first_test"]
        return _with_seen(split, lower if first is None else lower[lower["time"] < first])
    if name == COLD_ITEMS:
        split = split_cold_items(graph, RELATION, seed=seed, groups=content_groups(graph, modalities=["text"]))
        # Whoever rated a new movie, however low, did so after it had come out.
        return _with_seen(split, lower[lower["item"].isin(set(split.part(TRAIN)["item"].to_pylist()))])
    table = split_ratings(ratings, seed)
    table = table[table["split"].notna()]
    parts = table["split"].replace("seen", UNUSED)
    settings = {"relation": RELATION, "user_type": USER, "item_type": MOVIE, "attribute": "time", "seed": seed}
    return Split("interaction", _table(table, parts), "last-of-user", settings)


def _with_seen(split: Split, seen: pd.DataFrame) -> Split:
    """Add interactions that are no likes, so that they are neither asked nor recommended."""
    table = split.table.select(["user", "item", "time", "split"])
    rows = _table(seen, [UNUSED] * len(seen)).cast(table.schema)
    return Split("interaction", pa.concat_tables([table, rows]), split.method, split.settings)


def _table(ratings: pd.DataFrame, parts: Iterable[str]) -> pa.Table:
    columns = {"user": ratings["user"].tolist(), "item": ratings["item"].tolist(), "split": list(parts)}
    return pa.table(
        {
            **{name: pa.array(cells, pa.string()) for name, cells in columns.items()},
            "time": pa.array(ratings["time"].to_numpy(), pa.int64()),
        }
    ).select(["user", "item", "time", "split"])


def split_ratings(ratings: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Split every user's likes by time: the last fifth (at least one) `test`, the tenth before `valid`, else `train`.

    Likes of the same second come in an order drawn from the seed. Lower ratings are `seen` if they are older than the
    user's first test like, else they have no split: at the time of the test nobody knows them.

    Args:
        ratings: As `parse_ratings` gives them.
        seed: Seed of the order among equal times.

    Returns:
        The ratings with a column `split` (None where there is none).
    """
    order = torch.randperm(len(ratings), generator=generator(seed, "movielens", "ties")).numpy()
    table = ratings.assign(split=None, order=order)
    liked = table[table["rating"] >= LIKED].sort_values(["user", "time", "order"])
    users = liked.groupby("user")
    rank, count = users.cumcount(), users["time"].transform("size")
    num_test = (count // 5).clip(lower=1)
    is_test = rank >= count - num_test
    is_valid = ~is_test & (rank >= count - num_test - count // 10)
    table.loc[liked.index, "split"] = np.where(is_test, "test", np.where(is_valid, "valid", "train"))
    first_test = liked[is_test].groupby("user")["time"].min()
    lower = table["rating"] < LIKED
    table.loc[lower & (table["time"] < table["user"].map(first_test)), "split"] = "seen"
    return table.drop(columns="order")


def genre_labels(movies: pd.DataFrame, seed: int) -> pa.Table:
    """Labels of the genre task. Movies that occur twice under the same title and year lie in one split."""
    labelled = movies[movies["genres"].map(len) > 0]
    splits = grouped_split(
        [text or name for text, name in zip(labelled["text"], labelled["id"], strict=True)],
        NODE_SHARES,
        generator(seed, "movielens", "genres"),
    )
    genres = pa.array(labelled["genres"].tolist(), pa.list_(pa.string()))
    return pa.table({"id": labelled["id"].tolist(), "label": genres, "split": splits})


def genre_split(labels: pa.Table, seed: int) -> Split:
    """The split of the genre task, ready to be saved beside the others."""
    return Split("node", labels, "random-by-title", {"shares": NODE_SHARES, "seed": seed})
