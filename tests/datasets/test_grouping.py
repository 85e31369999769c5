from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from mmgraph.datasets.grouping import joined_groups

NODES = [f"n{number}" for number in range(12)]
SHARED = st.lists(st.dictionaries(st.sampled_from(NODES), st.integers(0, 5)), max_size=3)


@given(SHARED, st.permutations(NODES))
def test_groups_are_the_components_of_what_is_shared(shared: list[dict[str, int]], order: list[str]) -> None:
    groups = joined_groups(order, *shared)
    graph = nx.Graph()
    graph.add_nodes_from(NODES)
    for known in shared:
        graph.add_edges_from((a, b) for a in known for b in known if known[a] == known[b])
    assert groups == {node: min(found) for found in nx.connected_components(graph) for node in found}


def test_equal_values_of_two_mappings_do_not_join() -> None:
    assert joined_groups(["a", "b", "c"], {"a": "x", "c": "x"}, {"b": "x"}) == {"a": "a", "b": "b", "c": "a"}


def test_what_is_no_node_is_passed_over() -> None:
    assert joined_groups(["a"], {"a": 1, "z": 1}) == {"a": "a"}
