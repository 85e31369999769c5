"""YAML from outside: plain values only, no key twice, and limits on size, depth and what aliases add up to."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from mmgraph.errors import InputError
from mmgraph.untrusted import damaged, reason

MAX_YAML_BYTES = 2**20
MAX_YAML_DEPTH = 50
MAX_YAML_VALUES = 100_000
"""Values of a document after every alias is replaced by what it stands for; ten lines of aliases can make a billion."""
_MAX_DIGITS = 400
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(yaml.SafeLoader):
    """YAML without surprises: a key that occurs twice is an error, not the last one wins; no deep nesting."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_YAML_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"expected at most {MAX_YAML_DEPTH} levels of values inside of values", problem_mark=mark
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue  # the base class refuses keys that cannot be hashed
            if key_node.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key_node.value!r} occurs twice", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def parse_yaml(text: str, *, where: object, fast: bool = False) -> Any:
    """Read one YAML document of plain values: no tags that name types of Python, whatever they are.

    Args:
        text: The document.
        where: Named in errors.
        fast: Use the parser in C where it is there, for many small documents; a key that occurs twice is not noticed.

    Raises:
        InputError: If it is not YAML, has a key twice, or goes beyond one of the limits above.
    """
    if len(text) > MAX_YAML_BYTES:
        raise InputError(f"{where}: expected at most {MAX_YAML_BYTES:,} characters of YAML, got {len(text):,}")
    try:
        loader: Any = _FAST(text) if fast else _StrictLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            count = _count(node, {}, set())
            if count > MAX_YAML_VALUES:
                raise InputError(
                    f"{where}: expected at most {MAX_YAML_VALUES:,} values with aliases replaced, got {count:,}"
                )
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        problem = " ".join((error.problem or "not valid YAML").split())
        if fast or error.problem_mark is None:  # fast is for parts of a file, whose lines are not those of the file
            raise InputError(f"{where}: expected YAML, got: {problem}") from None
        raise InputError(f"{where}: line {error.problem_mark.line + 1}: {problem}") from None
    except InputError:
        raise
    # Dates that do not exist, broken base64 and the like are errors of Python, not of the library.
    except damaged(yaml.YAMLError) as error:
        raise InputError(f"{where}: expected YAML, got: {reason(error)}") from None


def _count(node: yaml.Node, known: dict[int, int], open_nodes: set[int]) -> int:
    """Values below a node, aliases counted as often as they are used; each node is looked at once.

    Raises:
        MarkedYAMLError: If a value holds itself, or a number has too many digits to be read in reasonable time.
    """
    if id(node) in known:
        return known[id(node)]
    if id(node) in open_nodes:
        raise yaml.MarkedYAMLError(problem="a value holds itself", problem_mark=node.start_mark)
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
            raise yaml.MarkedYAMLError(
                problem=f"expected numbers of at most {_MAX_DIGITS} digits", problem_mark=node.start_mark
            )
        known[id(node)] = 1
        return 1
    open_nodes.add(id(node))
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    count = 1 + sum(_count(part, known, open_nodes) for part in parts)
    open_nodes.discard(id(node))
    known[id(node)] = count
    return count
