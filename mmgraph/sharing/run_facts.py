"""What is known of a trained model: what its run folder recorded, and the evaluations of exactly these weights."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmgraph.errors import InputError
from mmgraph.nn.build import Encoder
from mmgraph.nn.saving import encoder_digest
from mmgraph.sealed import check_digest, read_sealed_json
from mmgraph.sharing.graph_facts import GraphFacts, read_graph_facts
from mmgraph.training.loading import is_model_folder, load_model
from mmgraph.training.tracking import read_metrics
from mmgraph.untrusted import reads

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class RunFacts:
    """A finished run of `pretrain` or `finetune`.

    Attributes:
        folder: The run folder.
        encoder: The trained encoder.
        digest: Its digest.
        settings: `config.yaml`, as it is.
        environment: Versions and machine.
        trained_on: The graphs of the run.
        others: Further graphs that were described, which it was not trained on.
        last: Last logged line of the training.
        evaluations: Contents of evaluation files of exactly this model.
        finetuned: `result.json` of a fine-tuning run; empty for pre-training.
    """

    folder: Path
    encoder: Encoder
    digest: str
    settings: str
    environment: dict[str, Any]
    trained_on: list[GraphFacts]
    others: list[GraphFacts] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    finetuned: dict[str, Any] = field(default_factory=dict)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Records of all evaluations, as `TaskRecord.to_dict` gives them."""
        return [record for evaluation in self.evaluations for record in evaluation["records"]]


@reads("the records of a run")
def read_run_facts(
    run: Path | str, *, graphs: Sequence[Path | str] = (), results: Sequence[Path | str] = ()
) -> RunFacts:
    """Collect what a run folder says.

    Args:
        run: A finished run of `pretrain` or `finetune`.
        graphs: Folders of encoded graphs. Those that the run was trained on, by digest, tell where their data is from;
            the folders that the run itself names are looked at too, if they are still there and unchanged.
        results: Evaluation files, see `evaluate_run`; those in `<run>/evaluation` are found by themselves.

    Raises:
        InputError: If the run is not finished, a file is damaged, or one of `results` is of another model.
    """
    run = Path(run)
    if is_model_folder(run):
        raise InputError(f"{run}: expected a run folder (env.json, config.yaml, model/), found a model without its run")
    encoder = load_model(run)
    digest = encoder_digest(encoder)
    environment = read_sealed_json(run / "env.json")
    source = run / ("env.json" if "config.yaml" in environment else "finetune.json")
    if source.is_file() and "config.yaml" in (record := read_sealed_json(source)):
        check_digest(run / "config.yaml", record["config.yaml"], source=source)
    trained = _recorded_graphs(run, environment)
    described = [read_graph_facts(folder) for folder in graphs]
    by_digest = {facts.digest: facts for facts in described}
    for number, (facts, folder) in enumerate(trained):
        if facts.digest not in by_digest and folder is not None and Path(folder).is_dir():
            found = _unchanged(folder, facts)
            by_digest |= {} if found is None else {found.digest: found}
        trained[number] = (by_digest.get(facts.digest, facts), folder)
    ours = {facts.digest for facts, _ in trained}
    metrics = run / "metrics.jsonl"
    lines = read_metrics(run) if metrics.exists() else []
    return RunFacts(
        folder=run,
        encoder=encoder,
        digest=digest,
        settings=(run / "config.yaml").read_text(encoding="utf-8"),
        environment=environment,
        trained_on=[facts for facts, _ in trained],
        others=[facts for facts in described if facts.digest not in ours],
        last=lines[-1] if lines else {},
        evaluations=_evaluations(run, digest, results),
        finetuned=read_sealed_json(run / "result.json") if (run / "result.json").is_file() else {},
    )


def _recorded_graphs(run: Path, environment: dict[str, Any]) -> list[tuple[GraphFacts, str | None]]:
    """Graphs of a run as its own files describe them, each with the folder that it was read from, if any."""
    if "graphs" in environment:
        return [
            (GraphFacts(graph["name"], graph["digest"], graph["summary"]), graph["folder"])
            for graph in environment["graphs"]
        ]
    record = read_sealed_json(run / "finetune.json")
    names = read_sealed_json(run / "model" / "config.json")["extra"]["graphs"]
    return [(GraphFacts(name, record["asked"]["graph"]), record["source"]["graph"]) for name in names]


def _unchanged(folder: str, facts: GraphFacts) -> GraphFacts | None:
    try:
        found = read_graph_facts(folder)
    except InputError:
        return None
    return found if found.digest == facts.digest else None


def _evaluations(run: Path, digest: str, results: Sequence[Path | str]) -> list[dict[str, Any]]:
    own = sorted((run / "evaluation").glob("*.json"))
    given = [Path(path) for path in results]
    found = []
    for path in [*own, *(path for path in given if path.resolve() not in {one.resolve() for one in own})]:
        content = read_sealed_json(path)
        if not isinstance(content, dict) or "asked" not in content or "records" not in content:
            raise InputError(f"{path}: expected the records of mmgraph evaluate, with asked and records")
        if level := content["asked"].get("level"):  # the weights in a card give the embedding itself
            if path in given:
                raise InputError(f"{path}: expected numbers of the embedding, got those of level {level!r}")
        elif content["asked"]["model"] == digest:
            found.append(content)
        elif path in given:
            raise InputError(
                f"{path}: numbers of another model ({str(content['asked']['model'])[:12]}) than {run} ({digest[:12]})"
            )
        else:
            logger.warning("%s is of an earlier model and was left out", path)
    return found
