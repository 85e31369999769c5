"""Fine-tuning: one encoder, one graph, one task."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmgraph.config import dump_yaml, load_yaml
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.store import graph_digest, load_graph
from mmgraph.distributed import Ranks, connect
from mmgraph.errors import InputError
from mmgraph.files import atomic_path, content_digest, file_digest
from mmgraph.finetuning.classification import ClassificationProblem
from mmgraph.finetuning.config import FinetuneConfig
from mmgraph.finetuning.problem import Problem, Validation
from mmgraph.finetuning.ranking import LinkProblem, RecommendationProblem
from mmgraph.finetuning.regression import RegressionProblem
from mmgraph.finetuning.retrieval import RetrievalProblem
from mmgraph.finetuning.stopping import EarlyStopping
from mmgraph.finetuning.vectors import node_vectors
from mmgraph.nn.adapters import add_adapters, merge_adapters
from mmgraph.nn.build import Encoder, build_encoder
from mmgraph.nn.saving import encoder_digest, load_encoder, save_encoder
from mmgraph.nn.sign import SignEncoder
from mmgraph.notebook import html_table
from mmgraph.sealed import check_digest, read_sealed_json, write_sealed_json
from mmgraph.seeding import derive_seed
from mmgraph.tasks.base import Task
from mmgraph.tasks.link_prediction import LinkPredictionTask
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.tasks.node_regression import NodeRegressionTask
from mmgraph.tasks.recommendation import RecommendationTask
from mmgraph.tasks.retrieval import NodeRetrievalTask
from mmgraph.training.evaluate import choose_tasks, frozen_encoders, random_copy
from mmgraph.training.loading import is_model_folder, load_model
from mmgraph.training.pretrain import resolve_device
from mmgraph.training.run import check_new, environment
from mmgraph.training.trainer import StepOutput, Trainer
from mmgraph.untrusted import reading


@dataclass(frozen=True, eq=False)
class FinetuneRun:
    """A finished run.

    Attributes:
        folder: The run folder; `model/` in it is an encoder like any other.
        encoder: The encoder at the step that was best on validation data, in evaluation mode.
        result: Content of `result.json`: task, best step, metrics on validation and test data.
    """

    folder: Path
    encoder: Encoder
    result: dict[str, Any]

    def _repr_html_(self) -> str:
        valid, test = self.result["valid"], self.result["test"]
        caption = f"FinetuneRun {self.result['task']}: step {self.result['best_step']} of {self.result['steps']}"
        rows = [(name, valid.get(name), value) for name, value in test.items()]
        return html_table(caption, ["metric", "valid", "test"], rows, total=len(rows))


def finetune(
    encoder: Encoder | Path | str | None,
    graph: MultimodalGraph | Path | str,
    task: Task | str,
    config: FinetuneConfig | None = None,
    *,
    out: Path | str,
) -> FinetuneRun:
    """Train on a task, stop on its validation data, then look at its test data once.

    A finished run in `out` with the same settings, model, graph and task is returned as it is; an unfinished one goes
    on from its last checkpoint. Under `torchrun` all processes call this and share the work of every step; rank 0 looks at
    valid and test data and writes.

    Args:
        encoder: A model, its folder, the folder of a run of `pretrain` or `finetune`, or `None` for the default network of
            `build_encoder` with `init` other than `run`. The model that is given stays as it is.
        graph: The graph without anything held out, or its dataset folder.
        task: The task, or its name in the dataset folder.
        config: Settings; the defaults if not given.
        out: Run folder.

    Raises:
        InputError: If the task cannot be trained on, names do not exist, or `out` holds another run.
    """
    config = config or FinetuneConfig()
    if isinstance(task, str):
        if isinstance(graph, MultimodalGraph):
            raise InputError(f"task {task!r}: a name needs the dataset folder as the graph; pass the task itself")
        task = choose_tasks(graph, [task])[task]
    loaded = graph if isinstance(graph, MultimodalGraph) else load_graph(graph)
    device = resolve_device(config.device)
    model = _starting_encoder(encoder, loaded, config).to(device)
    folder = Path(out)
    described = {
        "settings": _results_only(config),
        "model": encoder_digest(model),
        "graph": graph_digest(loaded),
        "task": task.digest,
    }
    source = {
        "run": str(Path(encoder).resolve()) if isinstance(encoder, Path | str) else None,
        "graph": None if isinstance(graph, MultimodalGraph) else str(Path(graph).resolve()),
        "task": task.name,
    }
    ranks = connect(device)
    ranks.main_first(lambda: _open(folder, described, source, config, device))
    if (folder / "result.json").exists():
        return FinetuneRun(
            folder, load_encoder(folder / "model", device=device), read_sealed_json(folder / "result.json")
        )

    torch.manual_seed(derive_seed(config.seed, "finetune parameters"))
    if config.mode == "frozen":
        model.requires_grad_(False)
    elif config.mode == "adapter":
        add_adapters(model, config.rank)
        model.to(device)
    ranks.same([model])
    problem = make_problem(model, loaded, task, config)
    problem.ranks = ranks
    ranks.same([problem.head])
    digest = content_digest(json.dumps(described, sort_keys=True))
    stopping = _train(model, problem, config, folder, digest)
    ranks.on_main(lambda: None)  # the best weights are on disk
    stopping.restore_best()
    model.eval()
    problem.head.eval()

    def look_at_test() -> dict[str, Any]:
        result = {
            "task": task.name,
            "kind": task.kind,
            "protocol": task.protocol,
            "best_step": stopping.best["step"],
            "steps": stopping.history[-1]["step"],
            "valid": stopping.best["metrics"],
            "test": problem.test(),
        }
        _write_table(folder / "predictions.parquet", problem.predictions)
        _write_table(folder / "report.parquet", problem.report)
        return result

    def save(result: dict[str, Any]) -> None:
        save_encoder(model, folder / "model", extra={"graphs": [loaded.name], "task": task.name}, overwrite=True)
        write_sealed_json(folder / "result.json", result)  # last: a folder with it is a finished run

    result = ranks.on_main(look_at_test)
    if config.mode == "adapter":
        merge_adapters(model)
    ranks.on_main(lambda: save(result))
    return FinetuneRun(folder, model, result)


def is_finetune_run(folder: Path | str) -> bool:
    """Whether a folder holds a run of `finetune`, finished or not."""
    return (Path(folder) / "finetune.json").exists()


def resume_finetune(folder: Path | str) -> FinetuneRun:
    """Go on with an interrupted run, from the model, graph and task that its folder names.

    Raises:
        InputError: If the model or the graph was given in memory, or has changed.
    """
    path = Path(folder) / "finetune.json"
    record = read_sealed_json(path)
    with reading(path, "the record of a run of finetune"):
        run, graph, task = (record["source"][name] for name in ("run", "graph", "task"))
        if any(not isinstance(value, str | None) for value in (run, graph, task)):
            raise TypeError("folders and a task that are no texts")
        if "config.yaml" in record:
            check_digest(Path(folder) / "config.yaml", record["config.yaml"], source=path)
        config = load_yaml(Path(folder) / "config.yaml", FinetuneConfig)
    if graph is None or task is None or (run is None and config.init == "run"):
        raise InputError(f"{folder}: model or graph were given in memory; call finetune() with the same ones")
    return finetune(run, graph, task, config, out=folder)


def make_problem(encoder: Encoder, graph: MultimodalGraph, task: Task, config: FinetuneConfig) -> Problem:
    """The task as something to train on.

    Raises:
        InputError: If its kind cannot be trained on.
    """
    if isinstance(task, NodeClassificationTask):
        return ClassificationProblem(node_vectors(encoder, graph, config.seed), task, config)
    if isinstance(task, NodeRegressionTask):
        return RegressionProblem(node_vectors(encoder, graph, config.seed), task, config)
    if isinstance(task, LinkPredictionTask):
        return LinkProblem(encoder, graph, task, config)
    if isinstance(task, RecommendationTask):
        return RecommendationProblem(encoder, graph, task, config)
    if isinstance(task, NodeRetrievalTask):
        encoders = frozen_encoders(graph, [task.modality], device=str(encoder.device))
        return RetrievalProblem(encoder, graph, task, encoders, config)
    raise InputError(f"{task.where}: cannot fine-tune on a task of kind {task.kind!r}")


def _train(model: Encoder, problem: Problem, config: FinetuneConfig, folder: Path, digest: str) -> EarlyStopping:
    modules, ranks = {"encoder": model, "head": problem.head}, problem.ranks
    trainer = Trainer(
        modules,
        config.optim,
        steps=config.steps,
        folder=folder,
        digest=digest,
        save_every=config.eval_every,
        scales={"encoder": config.encoder_lr},
        ranks=ranks,
    )
    stopping = EarlyStopping(folder, modules, config.patience, writes=ranks.is_main)
    if trainer.has_checkpoint:
        trainer.restore()
        stopping.rewind(trainer.step)
    elif trainer.step == 0:
        stopping.add(0, _validate(problem, ranks))
    if not any(p.requires_grad for module in modules.values() for p in module.parameters()):
        return stopping

    def step(number: int) -> StepOutput:
        ranks.seed(derive_seed(config.seed, "finetune dropout", number))
        loss = problem.loss(number)
        (loss / ranks.world_size).backward()  # type: ignore[no-untyped-call]
        return StepOutput(float(loss.detach()), {})

    def is_last(done: int) -> bool:
        if done % config.eval_every == 0 or done == config.steps:
            stopping.add(done, _validate(problem, ranks))
        return stopping.is_done

    model.train(config.mode != "frozen")
    problem.head.train()
    if not stopping.is_done:
        trainer.fit(step, description="fine-tuning", is_last=is_last)
    return stopping


def _validate(problem: Problem, ranks: Ranks) -> Validation:
    """One look for all ranks, so that they agree on when to stop."""

    def look() -> dict[str, Any]:
        found = problem.validate()
        return {"score": list(found.score), "metrics": found.metrics}

    found = ranks.on_main(look)
    return Validation(tuple(found["score"]), found["metrics"])


def _starting_encoder(encoder: Encoder | Path | str | None, graph: MultimodalGraph, config: FinetuneConfig) -> Encoder:
    """A copy of the encoder, or one with new parameters, with room for what is new in the graph."""
    if isinstance(encoder, Path | str):
        encoder = load_model(encoder) if is_model_folder(encoder) else load_encoder(Path(encoder) / "model")
    if encoder is None and config.init == "run":
        raise InputError("finetune: init 'run' needs a pre-trained model, got none; choose 'untrained' or 'random'")
    if encoder is None or config.init != "run":
        from mmgraph.nn.encoder import EncoderConfig

        shape = encoder.config if encoder is not None else EncoderConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(config.seed, "parameters"))
            fresh = build_encoder(replace(shape, gnn=replace(shape.gnn, zero_init=True)), [graph])
        return random_copy(fresh, config.seed) if config.init == "random" else fresh
    model = copy.deepcopy(encoder)
    if isinstance(model, SignEncoder):
        model.extend(graph)
    return model


def _open(
    folder: Path, described: dict[str, Any], source: dict[str, Any], config: FinetuneConfig, device: torch.device
) -> None:
    """Create the folder, or check that it holds the same run.

    Raises:
        InputError: Names the first thing that differs.
    """
    path = folder / "finetune.json"
    if path.exists():
        with reading(path, "the record of a run of finetune"):
            before = read_sealed_json(path)["asked"]
            for key in ("model", "graph", "task"):
                if before[key] != described[key]:
                    raise InputError(f"{folder} holds a run on another {key}; give another --out")
            # A run of an earlier version had the default of every setting that did not exist then.
            there, here = _results_only(FinetuneConfig()) | before["settings"], described["settings"]
        if differ := sorted(name for name in {*there, *here} if there.get(name) != here.get(name)):
            name = differ[0]
            raise InputError(
                f"{folder} holds a run with other settings: {name} is {there.get(name)} there and {here.get(name)} here; "
                "give another --out"
            )
        return
    check_new(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "config.yaml") as temporary:
        temporary.write_text(dump_yaml(config), encoding="utf-8")
    write_sealed_json(folder / "env.json", environment(device))
    content = {"asked": described, "source": source, "config.yaml": file_digest(folder / "config.yaml")}
    write_sealed_json(path, content)  # last: a folder with it is a whole run folder


def _results_only(config: FinetuneConfig) -> dict[str, Any]:
    """What of the settings changes results, as it comes back from JSON."""
    plain = asdict(config)
    del plain["device"]
    return plain


def _write_table(path: Path, make: Callable[[], pa.Table | None]) -> None:
    table = make()
    if table is not None:
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, write_page_checksum=True)
