"""A trained model as a folder for others: weights, configuration, a card, the numbers, and digests of all that."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgraph.data.features import FeatureSpec
from mmgraph.errors import InputError
from mmgraph.files import atomic_folder, file_digest, write_json
from mmgraph.sealed import write_sealed_json
from mmgraph.sharing.graph_facts import GraphFacts
from mmgraph.sharing.graph_section import graph_section
from mmgraph.sharing.markdown import Markdown, code, escape, fenced, front_matter, table
from mmgraph.sharing.results import metric_names, model_index, results_section
from mmgraph.sharing.run_facts import RunFacts, read_run_facts
from mmgraph.sharing.usage import model_usage
from mmgraph.training.loading import FORMAT, MANIFEST, VERSION
from mmgraph.untrusted import reading
from mmgraph.versions import installed_version
from mmgraph.yaml_text import parse_yaml

RESULTS = "results.json"
ENCODER_FACTS = {
    "minilm": "`minilm` reads English, up to 256 tokens.",
    "efficientnet-lite0": "`efficientnet-lite0` was trained on photographs (ImageNet). Other pictures are outside of "
    "what it learnt from.",
}
"""What is known of the frozen encoders of this library; nothing is said of others."""


def write_model_card(
    run: Path | str,
    out: Path | str | None = None,
    *,
    name: str | None = None,
    graphs: Sequence[Path | str] = (),
    results: Sequence[Path | str] = (),
    licence: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model folder in the layout of the Hugging Face Hub.

    `README.md` is the card; its text may be edited afterwards. `config.json` and `model.safetensors` are those of the run,
    `results.json` holds the evaluations, `manifest.json` the digests of these three.

    Args:
        run: A finished run of `pretrain` or `finetune`.
        out: Folder to write, `<run>/card` by default.
        name: Title of the card; the name of the run folder by default.
        graphs: Graph folders, to say where the training data is from. Folders that the run names are read without this.
        results: Evaluation files besides those in `<run>/evaluation`.
        licence: Licence of the weights, an identifier of the hub such as `apache-2.0`. Nothing is assumed.
        overwrite: Replace a folder that exists.

    Returns:
        The folder.

    Raises:
        InputError: If the run is not finished, a file is damaged, numbers are of another model, or `out` exists.
    """
    out = Path(run) / "card" if out is None else Path(out)
    if out.exists() and not overwrite:
        raise InputError(f"{out} already exists; give another folder or ask to overwrite it")
    facts = read_run_facts(run, graphs=graphs, results=results)
    title = name or Path(run).resolve().name
    with atomic_folder(out, overwrite=overwrite) as folder:
        (folder / "README.md").write_text(model_card(facts, title, licence), encoding="utf-8")
        for file in ("config.json", "model.safetensors"):
            shutil.copyfile(facts.folder / "model" / file, folder / file)
        if facts.evaluations or facts.finetuned:
            write_json(folder / RESULTS, {"evaluations": facts.evaluations, "finetuned": facts.finetuned})
        seal(folder, facts.digest)
    return out


def seal(folder: Path, model: str) -> None:
    """Write `manifest.json` with sizes and digests of all files but the card."""
    files = sorted(path for path in folder.iterdir() if path.name not in ("README.md", MANIFEST))
    described = {path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for path in files}
    manifest = {"format": FORMAT, "version": VERSION, "mmgraph": installed_version("mmgraph"), "model": model}
    write_sealed_json(folder / MANIFEST, manifest | {"files": described})


def model_card(facts: RunFacts, title: str, licence: str | None) -> str:
    """The text of the card.

    Raises:
        InputError: If a record of the run is not what a run writes.
    """
    with reading(facts.folder, "the records of a run"):
        return _card(facts, title, licence)


def _card(facts: RunFacts, title: str, licence: str | None) -> str:
    graphs = ", ".join(graph.name for graph in facts.trained_on)
    specs = list(facts.encoder.specs)
    modalities = ", ".join(f"{spec.modality} ({code(spec.encoder)}, {spec.dim:,}-d)" for spec in specs)
    kind = f"fine-tuned for the task {escape(facts.finetuned['task'])}" if facts.finetuned else "pre-trained"
    sections = {
        "": f"An encoder of graph nodes, {kind} on {escape(graphs)} with mmgraph. A node's content and its neighbours "
        f"become one vector of {facts.encoder.config.dim:,} numbers; content without neighbours lands in the same space. It "
        f"reads {modalities or 'no content, only edges'}, from frozen encoders that are not part of this folder. "
        f"{_parameters(facts):,} parameters. Digest {code(facts.digest)}.",
        "Training graphs": "\n\n".join(graph_section(graph) for graph in facts.trained_on),
        "Training": _training(facts),
        "Results": results_section(facts.records, facts.finetuned),
        "How to use": model_usage(specs, facts.trained_on[0]),
        "Limits": _limits(facts, specs),
        "Licence": _licence(licence, facts.trained_on),
        "Environment": _environment(facts.environment),
    }
    body = "\n\n".join(f"## {head}\n\n{text}" if head else text for head, text in sections.items())
    return f"{_front(facts, title, licence)}\n# {escape(title)}\n\n{body}\n"


def _front(facts: RunFacts, title: str, licence: str | None) -> str:
    specs = facts.encoder.specs
    return front_matter(
        {
            "license": licence or "other",
            "license_name": None if licence else "not-stated",
            "library_name": "mmgraph",
            "pipeline_tag": "feature-extraction",
            "tags": [
                *("mmgraph", "graph-machine-learning", "graph-neural-network", "multimodal", "self-supervised"),
                *sorted({spec.modality for spec in specs}),
            ],
            "datasets": [graph.name for graph in facts.trained_on],
            "metrics": metric_names(
                [*facts.records, *([{"metrics": facts.finetuned["test"]}] if facts.finetuned else [])]
            ),
            "model-index": model_index(title, facts.records),
        }
    )


def _parameters(facts: RunFacts) -> int:
    return sum(weight.numel() for weight in facts.encoder.parameters())


def _training(facts: RunFacts) -> str:
    settings = parse_yaml(facts.settings, where=facts.folder / "config.yaml")
    rows: list[list[object]] = [
        ["steps", settings.get("steps", "not recorded")],
        ["seed", settings.get("seed", "not recorded")],
        ["learning rate", Markdown(f"{settings['optim']['lr']:g}") if "optim" in settings else "not recorded"],
    ]
    if "objectives" in settings:
        weights = {name: value["weight"] for name, value in settings["objectives"].items() if value["weight"]}
        rows.append(["objectives and weights", ", ".join(f"{name} {value:g}" for name, value in weights.items())])
        rows.append(["nodes per batch", settings["sampling"]["batch_size"]])
    else:
        rows.append(["what was trained", settings["mode"]])
    if facts.last:
        rows.append(["last logged loss", f"{facts.last['loss']:.4f} at step {facts.last['step'] + 1:,}"])
        if "seconds" in facts.last:
            rows.append(["wall time", f"{facts.last['seconds']:,.0f} s"])
    everything = f"<details><summary>All settings</summary>\n\n{fenced(facts.settings, 'yaml')}\n\n</details>"
    return f"{table(['setting', 'value'], rows)}\n\n{everything}"


def _limits(facts: RunFacts, specs: Sequence[FeatureSpec]) -> str:
    lines = [
        f"Modalities: {', '.join(escape(spec.modality) for spec in specs) or 'none'}. Others are not read.",
        *(
            ENCODER_FACTS.get(spec.encoder, f"{code(spec.encoder)}: languages and domains are not known to mmgraph.")
            for spec in specs
        ),
    ]
    for graph in facts.trained_on:
        count = graph.summary.get("num_nodes", 0)
        for modality, described in graph.summary.get("modalities", {}).items():
            if described["present"] < count:
                lines.append(
                    f"{escape(graph.name)}: {count - described['present']:,} of {count:,} nodes lacked "
                    f"{escape(modality)} in training."
                )
    measured = {(record["graph"], record["task"]) for record in facts.records}
    known = {(graph.name, task) for graph in [*facts.trained_on, *facts.others] for task in graph.tasks}
    unmeasured = sorted(f"{graph}: {task}" for graph, task in known - measured)
    if not measured and not facts.finetuned:
        lines.append("Not measured: any task.")
    elif unmeasured:
        lines.append(f"Not measured, of the tasks of these graphs: {escape(', '.join(unmeasured))}.")
    if {one["asked"]["graph"] for one in facts.evaluations} <= {graph.digest for graph in facts.trained_on}:
        lines.append("Not measured: graphs that it was not trained on.")
    lines.append(
        "Not measured: nodes that lack a modality apart from the others, languages that no task above asks in, differences "
        "between groups of people."
    )
    lines.append(
        "The vectors follow the content and edges of the training graphs, with what is unbalanced in them. Do not "
        "decide about people by them."
    )
    return "\n".join(f"- {line}" for line in lines)


def _licence(licence: str | None, graphs: Sequence[GraphFacts]) -> str:
    weights = f"Weights: {code(licence)}." if licence else "The licence of the weights was not stated."
    stated = [f"{escape(graph.name)}: {', '.join(map(code, graph.licences))}" for graph in graphs if graph.dataset]
    data = f" Data it was trained on: {'; '.join(stated)}, see above." if stated else ""
    return (
        f"{weights}{data} The folder holds weights, names of graphs and relations, and numbers; no ids, texts or pictures. "
        "Whether the terms of the data bind the weights is for you to check."
    )


def _environment(environment: dict[str, Any]) -> str:
    rows: list[list[object]] = [[name, Markdown(code(version))] for name, version in environment["versions"].items()]
    rows += [[name, Markdown(code(value))] for name, value in environment["machine"].items()]
    rows.append(["commit", Markdown(code(environment["commit"])) if environment.get("commit") else "not recorded"])
    return table(["what", "version"], rows)
