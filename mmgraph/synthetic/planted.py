"""Graphs with planted communities, and the truth about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.graph import MultimodalGraph
from mmgraph.synthetic.filling import collect_graph
from mmgraph.synthetic.label_bounds import Estimate, best_accuracy
from mmgraph.synthetic.link_bounds import LinkBounds, best_links
from mmgraph.synthetic.planted_config import PlantedConfig
from mmgraph.synthetic.planted_evidence import marginal, posterior
from mmgraph.synthetic.planted_model import PlantedModel


@dataclass(frozen=True, eq=False)
class PlantedTruth:
    """What was planted, and the best that anyone can make of what can be seen. Rows are those of the graph.

    Attributes:
        model: Config, seed and everything they determine.
    """

    model: PlantedModel

    @cached_property
    def community(self) -> Tensor:
        """Community of each node, `[num_nodes]`, int64."""
        return torch.from_numpy(self.model.layout.community())

    def values(self, *factors: str) -> Tensor:
        """Value of a factor for each node `[num_nodes]`, int64; of several, a number for each combination."""
        return torch.from_numpy(self.model.groups(factors)[0])[self.community]

    def best_accuracy(
        self,
        target: Iterable[str] | None = None,
        *,
        modalities: Iterable[str] | None = None,
        relations: Iterable[str] | None = None,
    ) -> Estimate:
        """Best accuracy of any classifier of some factors that sees these modalities and the neighbours in these relations.

        All by default; see `label_bounds.best_accuracy`, where it is proved.
        """
        return best_accuracy(self.model, target, modalities=modalities, relations=relations)

    def best_links(self, relation: str, *, filtered: bool = False) -> LinkBounds:
        """Best AUC and MRR of any predictor of a relation's edges, see `link_bounds.best_links`."""
        return best_links(self.model, relation, filtered=filtered)

    def probabilities(
        self,
        graph: MultimodalGraph,
        target: Iterable[str] | None = None,
        *,
        modalities: Iterable[str] | None = None,
        relations: Iterable[str] | None = None,
    ) -> Tensor:
        """The oracle classifier: probability of each value of some factors, for every node, `[num_nodes, num_values]`.

        It knows the communities of all other nodes, as `best_accuracy` assumes, and reaches that accuracy.

        Args:
            graph: The graph, in its original order of rows; features may be those of a saved graph.
            target: Factors, all by default.
            modalities: Modalities that are looked at, all by default.
            relations: Relations whose neighbours are looked at, all by default.
        """
        found = posterior(self.model, graph, modalities=modalities, relations=relations)
        return torch.from_numpy(marginal(self.model, found, target))

    def link_probability(self, relation: str, source: Tensor, target: Tensor) -> Tensor:
        """The oracle link predictor: probability of an edge between rows, float64; the two are broadcast."""
        law, layout = self.model.laws[relation], self.model.layout
        one, other = (layout.cell[rows.numpy()].astype(np.int64) for rows in (source, target))
        group = law.group[one // layout.num_levels] != law.group[other // layout.num_levels]
        return torch.from_numpy(
            law.probability[group.astype(np.int64), one % layout.num_levels, other % layout.num_levels]
        )


@dataclass(frozen=True, eq=False)
class PlantedGraph:
    """A graph, and apart from it what must not be seen.

    Attributes:
        graph: The graph. Rows of absent features are NaN on purpose: code that reads them is wrong.
        labels: One row per node: `id`, `label` (the community), a column per factor, and `split`.
        held_out: Edges that are not in the graph: `source`, `target` (ids), `relation`, `split` (`valid` or `test`).
        truth: Communities, oracles and bounds.
    """

    graph: MultimodalGraph
    labels: pa.Table
    held_out: pa.Table
    truth: PlantedTruth


def planted_graph(config: PlantedConfig | None = None, seed: int = 0) -> PlantedGraph:
    """Make a graph whose communities show in part in each modality and each relation.

    Example:
        >>> planted = planted_graph(PlantedConfig(num_nodes=500), seed=1)
        >>> print(planted.truth.best_accuracy(modalities=["text"], relations=()))
        0.2487

    Args:
        config: The graph; by default a thousand nodes, a text that shows the colour, an image that shows the shape, a
            relation that follows both and one that is noise.
        seed: Seed of everything. `write_synthetic_graph` with the same config and seed writes the same graph.

    Raises:
        InputError: If a relation asks for more edges than there are pairs of nodes, or nearly.
    """
    model = PlantedModel(config or PlantedConfig(), seed)
    graph, held_out = collect_graph(model)
    return PlantedGraph(graph, model.labels(np.arange(model.num_nodes)), held_out, PlantedTruth(model))
