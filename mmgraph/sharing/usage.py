"""How to use what a card describes: commands, and Python that runs as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmgraph.data.features import FeatureSpec
from mmgraph.sharing.graph_facts import GraphFacts
from mmgraph.sharing.markdown import fenced

MODEL_FOLDER = "model"


def model_usage(specs: Sequence[FeatureSpec], graph: GraphFacts) -> str:
    """Code that embeds and searches a graph; the model lies in `model/`, the graph in `data/`.

    Args:
        specs: Feature spaces of the model.
        graph: The graph that the code embeds.
    """
    folder = graph_folder(graph)
    encoders = {spec.modality: spec.encoder for spec in specs if spec.modality in ("text", "image")}
    flags = " ".join(f'--{modality} "{name}"' for modality, name in sorted(encoders.items(), reverse=True))
    shell = ['pip install "mmgraph[encoders]"', f"mmgraph pull --from WHERE_IT_IS --out {MODEL_FOLDER}"]
    if graph.dataset:
        shell.append(build_command(graph.dataset, folder))
    if encoders:
        shell.append(f"mmgraph encode --graph {folder} {flags}")
    shell.append(f"mmgraph export --run {MODEL_FOLDER} --graph {folder} --out embeddings.parquet")
    python = [
        "import mmgraph as mg",
        "",
        f'encoder = mg.load_model("{MODEL_FOLDER}")  # JSON and safetensors: no code of others runs',
        f'graph = mg.load_graph("{folder}")',
        "table = mg.embed(encoder, graph)  # ids and vectors",
        "",
        "first = table.node_ids[0]",
        "found = table.search(table.vectors_of([first]), k=5, exclude=table.positions([first]))",
        'print(found.to_pandas()[["rank", "id", "score"]])',
    ]
    if "text" in encoders:
        python += [
            "",
            "from mmgraph.encoders.registry import load_encoder_by_name",
            "",
            f'queries = mg.QueryEncoder(encoder, graph, {{"text": load_encoder_by_name("{encoders["text"]}")}})',
            'found = table.search(queries.encode(text=["what you look for"]), k=5)',
            'print(found.to_pandas()[["rank", "id", "score"]])',
        ]
    return f"{fenced(chr(10).join(shell), 'sh')}\n\n{fenced(chr(10).join(python), 'python')}"


def graph_usage(graph: GraphFacts) -> str:
    """Code that builds, encodes and loads a graph."""
    folder = graph_folder(graph)
    shell = [build_command(graph.dataset, folder)] if graph.dataset else []
    modalities = graph.summary.get("modalities", {})
    flags = " ".join(f'--{name} "{modalities[name]["encoder"]}"' for name in ("text", "image") if name in modalities)
    if flags:
        shell.append(f"mmgraph encode --graph {folder} {flags}")
    python = ["import mmgraph as mg", "", f'graph = mg.load_graph("{folder}")', "print(graph)"]
    if graph.tasks:
        python += [
            "",
            "from mmgraph.tasks.base import load_tasks",
            "",
            f'for name, task in load_tasks("{folder}").items():',
            "    print(name, task)",
        ]
    blocks = [fenced("\n".join(shell), "sh")] if shell else []
    return "\n\n".join([*blocks, fenced("\n".join(python), "python")])


def graph_folder(graph: GraphFacts) -> str:
    """Where the code of a card looks for a graph."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in graph.name).strip(".")
    return f"data/{name or 'graph'}"


def build_command(dataset: Mapping[str, Any], folder: str) -> str:
    """The command that builds a dataset again, with the options that it was built with."""
    options = dataset["options"]
    words = ["mmgraph datasets build", str(dataset["name"]), "--out", folder]
    words += [f"--seed {options['seed']}"] if options.get("seed") else []
    words += ["--no-holdout"] if options.get("holdout") is False else []
    words += ["--local FILES"] if options.get("local") else []
    return " ".join(words)
