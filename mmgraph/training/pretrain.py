"""Pre-training: several graphs, one encoder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import load_graph
from mmgraph.distributed import LOCAL, Ranks, connect, local_device
from mmgraph.errors import InputError
from mmgraph.files import cache_folder
from mmgraph.nn.build import Encoder, build_encoder
from mmgraph.nn.encoder import EncoderOutput
from mmgraph.nn.saving import load_encoder, save_encoder
from mmgraph.notebook import html_table
from mmgraph.objectives.base import BatchViews
from mmgraph.objectives.mix import ObjectiveMix
from mmgraph.process import give_back_memory, own_memory
from mmgraph.seeding import derive_seed, generator
from mmgraph.training.config import PretrainConfig, check_names
from mmgraph.training.conflict import GradientConflict
from mmgraph.training.run import RunFolder
from mmgraph.training.tracking import read_metrics
from mmgraph.training.trainer import StepOutput, Trainer
from mmgraph.training.view_sources import ViewSource, view_source


@dataclass(frozen=True, eq=False)
class PretrainRun:
    """A finished run.

    Attributes:
        folder: The run folder.
        encoder: The trained encoder, in evaluation mode, on the device it was trained on.
        config: What it was trained with.
    """

    folder: Path
    encoder: Encoder
    config: PretrainConfig

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            ("folder", self.folder),
            ("steps", self.config.steps),
            ("seed", self.config.seed),
            ("width", self.config.encoder.dim),
            ("modalities", ", ".join(spec.key for spec in self.encoder.specs)),
        ]
        rows += [("last loss", line["loss"]) for line in read_metrics(self.folder)[-1:]]
        return html_table("PretrainRun", ["what", "value"], rows)


def pretrain(
    graphs: Sequence[MultimodalGraph | Path | str],
    config: PretrainConfig | None = None,
    *,
    out: Path | str,
    ppr_cache: Path | str | None = None,
) -> PretrainRun:
    """Pre-train an encoder on one or several graphs.

    A finished run in `out` with the same configuration and graphs is returned as it is; an unfinished one goes on
    from its last checkpoint.

    Under `torchrun` all processes call this and share the work of every step; rank 0 writes. See `mmgraph.distributed`.

    Args:
        graphs: Graphs in memory, or folders of encoded graphs. Only runs on folders can be resumed by `resume`.
        config: Settings; the defaults if not given.
        out: Run folder.
        ppr_cache: Where PPR neighbourhoods are cached; the user's cache folder if not given.

    Raises:
        InputError: If two graphs share a name, or `out` holds a run with other settings or graphs.
    """
    config = config or PretrainConfig()
    folder = RunFolder(Path(out))
    loaded = [graph if isinstance(graph, MultimodalGraph) else load_graph(Path(graph), mmap="read") for graph in graphs]
    folders = [None if isinstance(graph, MultimodalGraph) else str(Path(graph).resolve()) for graph in graphs]
    check_names([graph.name for graph in loaded])
    device = resolve_device(config.device)
    ranks = connect(device)
    digest = ranks.main_first(lambda: folder.open(config, loaded, folders, device=device))
    if folder.finished:
        return PretrainRun(folder.path, load_encoder(folder.model, device=device).eval(), config)

    cache = Path(ppr_cache) if ppr_cache is not None else cache_folder("ppr")
    step = build_step(config, loaded, cache=cache, device=device, ranks=ranks)
    encoder = step.encoder
    trainer = Trainer(
        step.modules,
        config.optim,
        steps=config.steps,
        folder=folder.path,
        digest=digest,
        save_every=config.save_every,
        log_every=config.log_every,
        ranks=ranks,
    )
    if trainer.has_checkpoint:
        trainer.restore()
    encoder.train()
    names = [graph.name for graph in loaded]
    trainer.fit(step, description=f"pre-training on {', '.join(names)}")
    encoder.eval()
    ranks.on_main(lambda: str(save_encoder(encoder, folder.model, extra={"graphs": names})))
    return PretrainRun(folder.path, encoder, config)


def resume(run: Path | str) -> PretrainRun:
    """Go on with an interrupted run, from the graphs and the configuration that its folder names.

    Raises:
        InputError: If the folder holds no run, a graph has changed, or the run was made from graphs in memory.
    """
    folder = RunFolder(Path(run))
    return pretrain(folder.graph_folders(), folder.config(), out=run)


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` into a device.

    Raises:
        InputError: If torch does not know it or the machine does not have it.
    """
    if name == "auto":
        return local_device(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device: expected auto, cpu or cuda[:n], got {name!r}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: {name!r} was asked for, but torch sees no GPU on this machine")
    return local_device(device)


def draw_schedule(config: PretrainConfig, sizes: Mapping[str, int]) -> list[list[tuple[str, int]]]:
    """Choose a graph for every batch of the run.

    Returns:
        For each step a list of `(graph name, number of the batch within that graph)`; the numbers count up, so that a
        graph's nodes are all seeds once before any is a seed again.
    """
    names = list(sizes)
    shares = torch.tensor(config.domains.shares(sizes))
    random = generator(config.seed, "domains")
    drawn = torch.multinomial(shares, config.steps * config.accumulate, replacement=True, generator=random)
    counts = dict.fromkeys(names, 0)
    schedule: list[list[tuple[str, int]]] = []
    for step in drawn.view(config.steps, config.accumulate).tolist():
        schedule.append([])
        for choice in step:
            schedule[-1].append((names[choice], counts[names[choice]]))
            counts[names[choice]] += 1
    return schedule


class PretrainStep:
    """Computes the gradients of one optimiser step: a few batches, each of one graph.

    Args:
        config: Settings of the run.
        encoder: The model.
        objectives: The losses.
        sources: Where the batches of each graph come from.
        ranks: The processes of the run.

    Raises:
        InputError: If there are more processes than batches in a step, and a batch belongs to one process.
    """

    def __init__(
        self,
        config: PretrainConfig,
        encoder: Encoder,
        objectives: ObjectiveMix,
        sources: Mapping[str, ViewSource],
        ranks: Ranks = LOCAL,
    ) -> None:
        if ranks.world_size > config.accumulate and not all(source.is_shared for source in sources.values()):
            raise InputError(
                f"{ranks.world_size} processes, but accumulate is {config.accumulate}: with sampling.kind "
                f"{config.sampling.kind!r} each batch belongs to one process; raise accumulate or start fewer"
            )
        self.ranks = ranks
        self.config = config
        self.encoder = encoder
        self.objectives = objectives
        self.sources = sources
        self._waited, self._steps = 0.0, 0
        self.schedule = draw_schedule(config, {name: source.num_nodes for name, source in sources.items()})

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is trained, by name."""
        return {"encoder": self.encoder, "objectives": self.objectives}

    def __call__(self, step: int) -> StepOutput:
        """Draw the batches of a step and accumulate their gradients, or this rank's part of them."""
        total = 0.0
        logs: dict[str, Any] = {}
        conflict = GradientConflict(self.encoder, self.ranks) if self._is_logged(step) else None
        for slot, (name, number) in enumerate(self.schedule[step]):
            seed = derive_seed(self.config.seed, "views", step, slot)
            self.ranks.seed(derive_seed(self.config.seed, "dropout", step, slot))
            source, world_size = self.sources[name], self.ranks.world_size
            if source.is_shared or slot % world_size == self.ranks.rank:
                # What is added up is a mean over ranks; a batch that one rank has alone counts for all of them there.
                count = self.config.accumulate * (world_size if source.is_shared else 1)
                started = time.perf_counter()
                views = source.views(number, seed)
                self._waited += time.perf_counter() - started
                loss, parts, outputs = self._loss(views)
                (loss / count).backward()  # type: ignore[no-untyped-call]
                total += float(loss.detach()) / count * world_size
                logs.update({f"domain/{name}/{part}": float(value) for part, value in parts.items()})
                logs.update(expert_logs(f"domain/{name}", outputs))
            if conflict is not None:
                conflict.after(name)
        if conflict is not None:
            logs = self.ranks.merge({**logs, **conflict.logs()})
        self._steps += 1
        if self._is_logged(step):
            logs.update(self._measured())
        return StepOutput(total, logs)

    def _measured(self) -> dict[str, Any]:
        """`MEASURED`: seconds per step spent waiting for data since the last line, and own memory where it is known."""
        give_back_memory()
        own, waited = own_memory(), round(self._waited / self._steps, 4)
        self._waited, self._steps = 0.0, 0
        return {"data_seconds": waited} | ({} if own is None else {"own_mib": round(own / 2**20, 1)})

    def _is_logged(self, step: int) -> bool:
        return (step + 1) % self.config.log_every == 0 or step + 1 == self.config.steps

    def _loss(self, views: BatchViews) -> tuple[Tensor, dict[str, Tensor], list[EncoderOutput]]:
        device = self.encoder.device
        autocast = (
            torch.autocast(device.type, dtype=torch.bfloat16) if self.config.precision == "bf16" else nullcontext()
        )
        with autocast:
            loss, parts = self.objectives(views)
        outputs = views.outputs()
        weight = self.config.encoder.moe.balance_weight
        if weight > 0 and self.config.encoder.moe.num_experts > 0 and outputs:
            balance = torch.stack([output.routing.balance_loss for output in outputs]).mean()
            loss = loss + weight * balance
            parts = {**parts, "balance": balance.detach()}
        return loss, parts, outputs


def build_step(
    config: PretrainConfig,
    graphs: Sequence[MultimodalGraph],
    *,
    cache: Path,
    device: torch.device | str = "cpu",
    ranks: Ranks = LOCAL,
) -> PretrainStep:
    """A new model, its losses and the batches of its graphs: what a run starts with.

    Args:
        config: Settings of the run.
        graphs: Graphs of different names.
        cache: Folder of computed PPR neighbours, and of the adjacency of large graphs.
        device: Where the model goes.
        ranks: The processes of the run.
    """
    # Parameters are drawn on the CPU from torch's global generator, so that a GPU run starts from the same weights.
    torch.manual_seed(derive_seed(config.seed, "parameters"))
    encoder = build_encoder(config.encoder, graphs).to(device)
    domains = {graph.name: [features.spec for features in graph.features.values()] for graph in graphs}
    objectives = ObjectiveMix(config.objectives, config.encoder.dim, domains).to(device)
    ranks.same([encoder, objectives])
    sources = {graph.name: view_source(encoder, graph, config, cache=cache, ranks=ranks) for graph in graphs}
    return PretrainStep(config, encoder, objectives, sources, ranks)


def expert_logs(prefix: str, outputs: Sequence[EncoderOutput]) -> dict[str, Any]:
    """Share of the assignments that went to each expert, averaged over the forward passes of a batch."""
    loads = [output.routing.load for output in outputs if output.routing.load.numel()]
    if not loads:
        return {}
    return {f"{prefix}/expert_load": [round(x, 5) for x in torch.stack(loads).float().mean(dim=0).tolist()]}
