from __future__ import annotations

from pathlib import Path

from mmgraph.testing.factories import make_raw_graph


def test_a_raw_graph_is_shown_in_one_line(tmp_path: Path) -> None:
    graph = make_raw_graph(tmp_path, num_nodes=12, num_edges=20)
    texts = sum(text is not None for text in graph.content["text"])
    images = sum(image is not None for image in graph.content["image"])
    likes, similar = (graph.relations[name].num_edges for name in ("likes", "similar"))
    shown = (
        f"RawGraph('toy': 9 item, 3 user, {similar} x similar, {likes} x likes, {texts} with text, {images} with image)"
    )
    assert sorted(repr(graph).split(", ")) == sorted(shown.split(", "))
