"""What a card says of one graph: counts, where it is from, and what may be done with it."""

from __future__ import annotations

from typing import Any

from mmgraph.sharing.graph_facts import GraphFacts
from mmgraph.sharing.markdown import Markdown, code, escape, quoted, table

NOT_RECORDED = "not recorded"


def graph_section(graph: GraphFacts, *, level: int = 3) -> str:
    """Counts, digest, source and notice of a graph under a heading of its own."""
    parts = [f"{'#' * level} {escape(graph.name)}", _digests(graph)]
    if graph.summary:
        parts.append(counts_table(graph))
    else:
        parts.append("Counts were not recorded; give the graph folder when the card is made.")
    parts.append(notice_of(graph))
    return "\n\n".join(parts)


def counts_table(graph: GraphFacts) -> str:
    """Nodes by type, edges by relation, coverage of modalities."""
    summary = graph.summary
    count = summary["num_nodes"]
    rows: list[list[object]] = [
        ["nodes", Markdown(code(name)), number] for name, number in summary["node_types"].items()
    ]
    rows += [
        [
            "edges",
            Markdown(f"{code(name)}, {code(relation['source'])} to {code(relation['target'])}"),
            relation["num_edges"],
        ]
        for name, relation in summary["relations"].items()
    ]
    rows += [
        [
            "nodes with",
            Markdown(f"{escape(name)} by {code(item['encoder'])}, {item['dim']:,}-d, {item['present'] / count:.0%}"),
            item["present"],
        ]
        for name, item in summary["modalities"].items()
    ]
    return table(["what", "which", "count"], rows)


def notice_of(graph: GraphFacts) -> str:
    """Licence and notice, or that none is at hand."""
    licence = f"Licence of the data: {', '.join(map(code, graph.licences))}" if graph.dataset else ""
    if graph.notice:
        return f"{licence or 'Licence of the data'}; its folder says:\n\n{quoted(graph.notice)}"
    return f"{licence}." if licence else "Source and licence of the data: not stated."


def sources_table(dataset: dict[str, Any]) -> str:
    """Digests of what a dataset was built from."""
    rows = [[Markdown(code(name)), Markdown(code(digest))] for name, digest in dataset.get("sources", {}).items()]
    return table(["source", "SHA-256"], rows) if rows else "Sources were not recorded."


def _digests(graph: GraphFacts) -> str:
    words = [f"Digest {code(graph.digest) if graph.digest else NOT_RECORDED}."]
    if graph.dataset:
        options = graph.dataset["options"]
        words.append(
            f"Built by {code('mmgraph datasets build ' + str(graph.dataset['name']))}, seed {options.get('seed')}."
        )
    held_out = options_held_out(graph)
    return " ".join([*words, held_out] if held_out else words)


def options_held_out(graph: GraphFacts) -> str:
    """Whether the edges that tasks ask for were left out of the graph."""
    if not graph.dataset:
        return ""
    holdout = graph.dataset["options"].get("holdout")
    return "Validation and test edges were left out of it." if holdout else "Nothing was held out of it."
