"""A graph described for others: what is in it, where it is from, what is asked of it, how to get it."""

from __future__ import annotations

from pathlib import Path

from mmgraph.files import atomic_folder
from mmgraph.sharing.graph_facts import GraphFacts, read_graph_facts
from mmgraph.sharing.graph_section import counts_table, notice_of, options_held_out, sources_table
from mmgraph.sharing.markdown import Markdown, code, escape, front_matter, table
from mmgraph.sharing.usage import graph_usage

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_dataset_card(
    graph: Path | str, out: Path | str, *, licence: str | None = None, overwrite: bool = False
) -> Path:
    """Write the card of a graph folder as `README.md` into a folder of its own. The data itself is not copied.

    Args:
        graph: Folder of an encoded graph.
        out: Folder to write.
        licence: Licence of the data, an identifier of the hub; by default what the card of a built dataset states.
        overwrite: Replace a folder that exists.

    Returns:
        The folder.

    Raises:
        InputError: If there is no encoded graph, or `out` exists.
    """
    with atomic_folder(out, overwrite=overwrite) as folder:
        text = dataset_card(read_graph_facts(graph), licence)
        (folder / "README.md").write_text(text, encoding="utf-8")
    return Path(out)


def dataset_card(graph: GraphFacts, licence: str | None = None) -> str:
    """The text of the card."""
    licences = [licence] if licence else list(graph.licences)
    modalities = sorted(graph.summary["modalities"])
    front = front_matter(
        {
            "pretty_name": graph.name,
            "license": licences[0] if len(licences) == 1 else licences,
            "license_name": "see-notice" if licences == ["other"] else None,
            "tags": ["mmgraph", "graph", *(["multimodal"] if len(modalities) > 1 else []), *modalities],
            "task_categories": ["graph-ml"],
            "size_categories": [_size(graph.summary["num_nodes"])],
        }
    )
    summary = graph.summary
    sections = {
        "": f"A graph of {summary['num_nodes']:,} nodes and {summary['num_edges']:,} edges in the format of mmgraph. "
        f"Digest {code(str(graph.digest))}: name, ids, types, edges and features, in their order. "
        f"{options_held_out(graph)}".strip(),
        "What is in it": f"{counts_table(graph)}\n\nColumns that nodes carry along: "
        f"{', '.join(map(code, graph.columns)) or 'none'}.",
        "Tasks": _tasks(graph),
        "Source and licence": f"{notice_of(graph)}\n\n{sources_table(dict(graph.dataset))}",
        "How to use": graph_usage(graph),
        "Encoding": _encoding(graph),
        "Limits": _limits(graph),
    }
    body = "\n\n".join(f"## {head}\n\n{text}" if head else text for head, text in sections.items())
    return f"{front}\n# {escape(graph.name)}\n\n{body}\n"


def _tasks(graph: GraphFacts) -> str:
    if not graph.tasks:
        return "None in this folder."
    rows = [
        [
            Markdown(code(name)),
            task["kind"].replace("_", " "),
            ", ".join(f"{split} {count:,}" for split, count in task["examples"].items()),
            task["protocol"],
            Markdown(code(task["digest"][:12])),
        ]
        for name, task in graph.tasks.items()
    ]
    return table(["task", "kind", "examples", "protocol", "split"], rows)


def _encoding(graph: GraphFacts) -> str:
    if not graph.encoding:
        return "How the features were made was not recorded."
    rows = [
        [
            modality,
            Markdown(code(report["encoder"])),
            report["items"],
            report["duplicates"],
            report["truncated"],
            len(report["quarantined"]),
            Markdown(code(report["fingerprint"][:12])),
        ]
        for modality, report in graph.encoding.items()
    ]
    return table(["modality", "encoder", "items", "duplicates", "truncated", "unreadable", "fingerprint"], rows)


def _limits(graph: GraphFacts) -> str:
    count = graph.summary["num_nodes"]
    lines = [
        f"{count - item['present']:,} of {count:,} nodes lack {escape(modality)}."
        for modality, item in graph.summary["modalities"].items()
        if item["present"] < count
    ]
    if not graph.summary["modalities"]:
        lines.append("Nodes have no content.")
    lines.append("Not measured: languages of the texts, and how well ids, texts and edges agree with the world.")
    return "\n".join(f"- {line}" for line in lines)


def _size(count: int) -> str:
    return next((name for limit, name in _SIZES if count < limit), "n>1M")
