"""Time of one pre-training step (batch, forward, backward, optimiser) on 2,048 nodes: ours beside two reference forms.

Two kinds of batch: the disjoint union of 64 PPR subgraphs of 32 nodes, as the preset `unigraph2` has it, and one subgraph of
2,048 nodes. Forms:

- `mmgraph`: ours, the default: 2 x 1,024 seeds with all neighbours, and its share of holding other edges out. Needs no subgraphs.
- `unigraph2`: ours, the preset: mixture, 3 layers of attention, masked features, distances from four sources per subgraph.
- `GraphMAE2 in PyG`: the same nodes and edges, 3 layers of `GATConv`, three re-masked decodings, a teacher's latents
  (`mmgraph.baselines.graphmae2`, plain PyG modules).
- `UniGraph2 as published`: the same nodes and edges; all experts for all nodes, heads averaged, all distances within the batch by
  breadth-first search in networkx in every step (`published.py`).

All have the same width. The steps do different work and learn different things: the figure is what a step costs, not what it is
worth. Ours draw their batch within the step; the references get it ready made.

    python experiments/benchmarks/step.py [--rows 2048] [--dim 256] [--threads 1] [--repeats 7] [--out step.json]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from published import PublishedUniGraph2, mean_of_modalities
from timing import Times, alternate, show, timed_row, write_rows
from torch import Tensor, nn

from mmgraph.baselines.graphmae2 import GraphMAE2, GraphMAE2Config
from mmgraph.data.batch import GraphBatch
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.sampling import SamplingConfig
from mmgraph.testing.factories import make_graph
from mmgraph.training.config import PretrainConfig
from mmgraph.training.optim import OptimConfig, build_optimizer
from mmgraph.training.presets import mmgraph, unigraph2
from mmgraph.training.pretrain import PretrainStep, build_step
from mmgraph.training.view_sources import SubgraphSource

Form = Callable[[], float]
"""Makes one step, and returns its loss."""
PPR_TOP = 32
GRAPHMAE2 = "GraphMAE2 in PyG"
PUBLISHED = "UniGraph2 as published"


def our_step(config: PretrainConfig, graph: MultimodalGraph, dim: int, steps: int, cache: Path) -> PretrainStep:
    """A step of ours at this width; batches are drawn when they are asked for, not ahead."""
    sampling = replace(config.sampling, workers=0)
    # Nothing is logged, and the schedule is one step longer than what is run, as the last step is logged always.
    config = replace(config, steps=steps + 1, log_every=steps + 2, device="cpu", sampling=sampling)
    config = replace(config, encoder=replace(config.encoder, dim=dim))
    return build_step(config, [graph], cache=cache)


def our_form(step: PretrainStep) -> Form:
    """Steps 0, 1, ... of ours with the optimiser."""
    step.encoder.train()
    numbers = iter(range(len(step.schedule)))
    update = updater(list(step.modules.values()), step.config.optim)

    def run() -> float:
        return update(lambda: step(next(numbers)).loss)

    return run


def reference_form(
    loss: Callable[[GraphBatch], Tensor],
    modules: Sequence[nn.Module],
    optim: OptimConfig,
    batches: Sequence[GraphBatch],
    after: Callable[[], object] = lambda: None,
) -> Form:
    """Steps of another form on batches that are ready."""
    waiting = iter(batches)
    update = updater(modules, optim)

    def gradients() -> float:
        value = loss(next(waiting))
        value.backward()
        return float(value.detach())

    def run() -> float:
        value = update(gradients)
        after()
        return value

    return run


def updater(modules: Sequence[nn.Module], config: OptimConfig) -> Callable[[Callable[[], float]], float]:
    """Zero, gradients, clipping, AdamW: the same around all forms."""
    optimizer = build_optimizer({str(number): module for number, module in enumerate(modules)}, config)
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]

    def update(gradients: Callable[[], float]) -> float:
        optimizer.zero_grad(set_to_none=True)
        value = gradients()
        nn.utils.clip_grad_norm_(parameters, config.clip)
        optimizer.step()
        return value

    return update


def refresh_seconds(step: PretrainStep, graph: MultimodalGraph) -> tuple[float, float]:
    """Wall and processor seconds per step of the default that go into holding other edges out, beside the batch itself."""
    source, sampling = step.sources[graph.name], step.config.sampling
    found = []
    for batch in (0, 0, sampling.refresh_every, sampling.refresh_every):
        start = time.perf_counter(), time.process_time()
        source.views(batch, 0)
        found.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    per_refresh = [max(new - same, 0.0) for new, same in zip(found[2], found[3], strict=True)]
    wall, cpu = (seconds * step.config.accumulate / sampling.refresh_every for seconds in per_refresh)
    return wall, cpu


def forms_of(
    graph: MultimodalGraph, sampling: SamplingConfig, dim: int, steps: int, cache: Path
) -> tuple[dict[str, Form], PretrainStep]:
    """The forms that work on subgraphs, and the step of ours that draws them."""
    preset = unigraph2()
    ours = our_step(replace(preset, sampling=sampling), graph, dim, steps, cache)
    source = ours.sources[graph.name]
    assert isinstance(source, SubgraphSource)
    batches = [source.loader.batch(number) for number in range(steps)]
    width = next(iter(graph.features.values())).spec.dim
    torch.manual_seed(0)
    mae = GraphMAE2(width, GraphMAE2Config(dim=dim, num_layers=preset.encoder.gnn.num_layers)).train()
    published = PublishedUniGraph2(
        {graph.name: {name: item.spec.dim for name, item in graph.features.items()}}, dim
    ).train()
    forms = {
        "unigraph2": our_form(ours),
        GRAPHMAE2: reference_form(
            lambda batch: mae.loss(mean_of_modalities(batch), batch.edge_index),
            [mae],
            preset.optim,
            batches,
            after=lambda: mae.after_step(0.0),
        ),
        PUBLISHED: reference_form(published.loss, [published], preset.optim, batches),
    }
    return forms, ours


def finite(form: Form) -> Form:
    """Stop at a loss that is no number: such a step costs what a working one does not."""

    def run() -> float:
        value = form()
        if not torch.isfinite(torch.tensor(value)):
            raise SystemExit(f"expected finite losses, got {value}")
        return value

    return run


def measure(rows: int, dim: int, repeats: int) -> list[dict[str, Any]]:
    """All lines."""
    lines = []
    modalities = (("text", dim), ("image", dim))
    with tempfile.TemporaryDirectory() as cache:
        # Subgraphs of their own, out of a graph of four times the size.
        graph = make_graph(4 * rows, 20 * rows, modalities)
        sampling = unigraph2().sampling
        union = replace(
            sampling, batch_size=max(1, rows // PPR_TOP), ppr=replace(sampling.ppr, top_k=min(PPR_TOP, rows))
        )
        forms, step = forms_of(graph, union, dim, repeats + 1, Path(cache, "union"))
        base = mmgraph()
        seeds = replace(base.sampling, batch_size=max(1, rows // base.accumulate))
        default = our_step(replace(base, sampling=seeds), graph, dim, repeats + 1, Path(cache))
        forms = {"mmgraph": our_form(default), **forms}
        times = alternate({name: finite(form) for name, form in forms.items()}, repeats=repeats)
        times = with_refresh(times, refresh_seconds(default, graph))
        lines += compare("subgraphs", rows, step, times, ("mmgraph", "unigraph2"), (GRAPHMAE2, PUBLISHED))
        # One subgraph: a graph of that size, of which every node is a seed.
        graph = make_graph(rows, 5 * rows, modalities)
        whole = SamplingConfig(kind="neighbor", batch_size=rows, fanouts=(-1,))
        forms, step = forms_of(graph, whole, dim, max(repeats // 2, 1) + 1, Path(cache, "whole"))
        times = alternate({name: finite(form) for name, form in forms.items()}, repeats=max(repeats // 2, 1))
        lines += compare("one subgraph", rows, step, times, ("unigraph2",), (GRAPHMAE2, PUBLISHED))
    return lines


def with_refresh(times: Times, seconds: tuple[float, float]) -> Times:
    """Add its share of a refresh to each step of the default."""
    wall, cpu = dict(times.wall), dict(times.cpu)
    wall["mmgraph"] = [one + seconds[0] for one in wall["mmgraph"]]
    cpu["mmgraph"] = [one + seconds[1] for one in cpu["mmgraph"]]
    return Times(wall, cpu)


def compare(
    kind: str, rows: int, step: PretrainStep, times: Times, ours: Sequence[str], references: Sequence[str]
) -> list[dict[str, Any]]:
    """A line for each of ours and each reference."""
    source = next(iter(step.sources.values()))
    assert isinstance(source, SubgraphSource)
    size = {"nodes": rows, "edges": source.loader.batch(0).edge_index.size(1)}
    note = "steps of different work: the time of a step, not what it is worth"
    return [
        timed_row(f"step on {kind}, {name} against {other}", size, times, other, ours=name, note=note)
        for name in ours
        for other in references
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048, help="nodes of a batch")
    parser.add_argument("--dim", type=int, default=256, help="width of features and embeddings")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    lines = measure(args.rows, args.dim, args.repeats)
    for line in lines:
        show(line)
    write_rows(args.out, lines)


if __name__ == "__main__":
    main()
