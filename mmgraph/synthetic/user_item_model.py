"""Graphs of users and items with latent tastes, made block by block."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import pyarrow as pa
import torch

from mmgraph.data.features import FeatureSpec
from mmgraph.data.graph_writer import FeatureHeader, GraphHeader, RelationHeader
from mmgraph.data.quantised import DTYPES
from mmgraph.synthetic.blocks import EdgeBlock, GraphBlocks, block_rows, keyed, num_blocks, shuffled_ids
from mmgraph.synthetic.planted_model import ENCODER
from mmgraph.synthetic.user_item_config import NUM_HELD_OUT, UserItemConfig

RELATION, USER, ITEM = "interacted", "user", "item"

LAST_PERIOD = 10**9
"""Time from which on cold items can be chosen; each user's last two interactions are later, all others before."""

_SPREAD = 2**20
_SCORES_AT_ONCE = 2**21


class UserItemModel(GraphBlocks):
    """Everything that a config and a seed determine, made when it is asked for.

    Users and items stand in one random order of rows. Time and memory of interactions are in proportion to the number
    of users times the number of items, a block of users at a time.

    Args:
        config: The graph.
        seed: Seed of everything.
    """

    def __init__(self, config: UserItemConfig, seed: int = 0) -> None:
        self.config, self.seed, self.num_nodes = config, seed, config.num_users + config.num_items
        order = keyed(seed, "rows").permutation(self.num_nodes)
        self.user_rows, self.item_rows = np.sort(order[: config.num_users]), np.sort(order[config.num_users :])
        self.number = np.empty(self.num_nodes, dtype=np.int64)
        """Number of each row among the users, or among the items."""
        self.number[self.user_rows] = np.arange(config.num_users)
        self.number[self.item_rows] = np.arange(config.num_items)
        self.is_item = np.zeros(self.num_nodes, dtype=bool)
        self.is_item[self.item_rows] = True
        scale = config.dim**-0.25  # of two independent vectors, the inner product has variance 1
        self.users = scale * keyed(seed, "users").standard_normal((config.num_users, config.dim))
        self.items = scale * keyed(seed, "items").standard_normal((config.num_items, config.dim))
        rank = keyed(seed, "popularity").permutation(config.num_items) + 1
        self.bias = -config.popularity * np.log(rank)
        self.cold = np.zeros(config.num_items, dtype=bool)
        self.cold[keyed(seed, "cold").permutation(config.num_items)[: config.num_cold]] = True
        self.modalities = {modality.name: modality for modality in config.modalities}
        attributes = {"time": torch.int64} | ({"rating": torch.float32} if config.ratings else {})
        self.header = GraphHeader(
            name=config.name,
            node_types=(ITEM, USER),
            relations={RELATION: RelationHeader(USER, ITEM, attributes=attributes)},
            features={
                m.name: FeatureHeader(FeatureSpec(m.name, ENCODER, m.dim), DTYPES[config.dtype])
                for m in config.modalities
            },
        )

    def ids(self, rows: np.ndarray) -> pa.Array:
        """External ids of rows."""
        return shuffled_ids(rows, self.num_nodes, self.seed, strings=self.config.ids == "strings")

    def node_type(self, rows: np.ndarray) -> np.ndarray:
        """0 for items, 1 for users."""
        return np.where(self.is_item[rows], 0, 1)

    def logits(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """What choices depend on, `[len(users), len(items)]`; both are numbers among users and among items."""
        return np.asarray(self.config.sharpness * self.users[users] @ self.items[items].T + self.bias[items])

    @property
    def block_users(self) -> int:
        """Users per block."""
        return max(1, _SCORES_AT_ONCE // self.config.num_items)

    @cached_property
    def num_interactions(self) -> np.ndarray:
        """Interactions of each user, `[num_users]`."""
        extra = keyed(self.seed, "activity").geometric(
            1 / (self.config.interactions_per_user - NUM_HELD_OUT), size=self.config.num_users
        )
        most = max(1, (self.config.num_items - self.config.num_cold) // 2)
        return NUM_HELD_OUT + np.minimum(extra, most)

    def num_edge_blocks(self, relation: str) -> int:
        """Number of blocks of users."""
        del relation
        return num_blocks(self.config.num_users, self.block_users)

    def edge_block(self, relation: str, block: int) -> EdgeBlock:
        """Interactions of a block of users, sorted by user and item."""
        del relation
        random = keyed(self.seed, "interactions", block)
        users, items, place = self.choices(block)
        before_last = self.num_interactions[users] - 1 - place  # 0 for the last one
        late = before_last < NUM_HELD_OUT
        early, later = (
            random.integers(LAST_PERIOD - _SPREAD, size=len(users)),
            random.integers(LAST_PERIOD, size=len(users)),
        )
        time = np.where(late, LAST_PERIOD + later, early)
        time = time[np.lexsort((time, users))] + place  # in the order of the choices, and never twice the same
        attributes = {"time": time}
        if self.config.ratings:
            affinity = (self.users[users] * self.items[items]).sum(axis=1)
            rating = np.round(3 + affinity + 0.5 * random.standard_normal(len(users)))
            attributes["rating"] = rating.clip(1, 5).astype(np.float32)
        part = np.where(late, NUM_HELD_OUT - before_last, 0) if self.config.holdout else np.zeros(len(users))
        order = np.lexsort((items, users))
        return EdgeBlock(
            np.stack([self.user_rows[users], self.item_rows[items]])[:, order],
            {name: values[order] for name, values in attributes.items()},
            part.astype(np.int8)[order],
        )

    def choices(self, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Who chooses what: user, item and how many choices of the user came before, in order of users and choices.

        Users and items are numbered each on their own.

        To draw one after the other without replacement in proportion to `exp(logit)` is to add Gumbel noise to all
        logits and to take the highest in order [1]. The last choices, among all items, have noise of their own: what is
        left after the first ones is to be drawn from anew.

        References:
            [1] Kool et al., 2019, Stochastic Beams and Where to Find Them, arXiv:1903.06059.
        """
        users, random = block_rows(self.config.num_users, block, self.block_users), keyed(self.seed, "choices", block)
        numbers, every = np.arange(users.start, users.stop), np.arange(self.config.num_items)
        logits, total = self.logits(numbers, every), self.num_interactions[users]
        early = total - NUM_HELD_OUT
        noisy = np.where(self.cold, -np.inf, logits - np.log(random.standard_exponential(logits.shape)))
        first = _highest(noisy, int(early.max()))
        wanted = np.arange(first.shape[1]) < early[:, None]
        np.put_along_axis(logits, np.where(wanted, first, first[:, :1]), -np.inf, axis=1)
        last = _highest(logits - np.log(random.standard_exponential(logits.shape)), NUM_HELD_OUT)
        taken = np.concatenate([wanted, np.ones(last.shape, dtype=bool)], axis=1)
        place = np.arange(total.sum()) - np.repeat(total.cumsum() - total, total)
        return np.repeat(numbers, total), np.concatenate([first, last], axis=1)[taken], place

    def feature_block(self, modality: str, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Items' latent coordinates in some directions of the feature space, and noise; users have none."""
        setting, rows = self.modalities[modality], block_rows(self.num_nodes, block)
        random, item = keyed(self.seed, "features", modality, block), self.is_item[rows]
        values = setting.noise * random.standard_normal((len(item), setting.dim), dtype=np.float32)
        present = item & (random.random(len(item)) >= setting.missing)
        shown = self.items[self.number[rows][present]] * self.config.dim**0.25
        values[present] += (shown @ self.directions(modality)).astype(np.float32)
        values[~present] = np.nan
        return values.astype("float16" if self.config.dtype == "float16" else "float32"), present

    def directions(self, modality: str) -> np.ndarray:
        """Where each latent dimension shows, `[dim, feature dim]`: orthonormal rows, or zero for hidden ones."""
        setting, random = self.modalities[modality], keyed(self.seed, "directions", modality)
        shown = np.sort(random.permutation(self.config.dim)[: math.ceil(setting.shows * self.config.dim)])
        out = np.zeros((self.config.dim, setting.dim))
        out[shown] = np.linalg.qr(random.standard_normal((setting.dim, len(shown))))[0].T
        return out


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """Columns of the highest entries of each row, in descending order, `[rows, count]`."""
    some = np.argpartition(-values, count - 1, axis=1)[:, :count]
    return np.take_along_axis(some, np.argsort(-np.take_along_axis(values, some, axis=1), axis=1), axis=1)
