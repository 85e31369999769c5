"""What every format that can be written and read must keep. A new format is one line in `FORMATS`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from mmgraph.data.features import FeatureSpec, ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.errors import InputError
from mmgraph.formats.bundle import Bundle
from mmgraph.formats.limits import PARTS_TO_LEAVE_OUT
from mmgraph.formats.mm_graph import looks_like_mm_graph, read_mm_graph, write_mm_graph
from mmgraph.formats.mmrec import looks_like_mmrec, read_mmrec, write_mmrec
from mmgraph.formats.recbole import RecBoleNames, looks_like_recbole, read_recbole, write_recbole
from mmgraph.splits.base import KEYS, PARTS, Split
from mmgraph.splits.message import message_graph
from mmgraph.testing.asserts import assert_same_graph

IDS = {
    "plain": [f"n{i}" for i in range(12)],
    "unicode": [f"漢{i} ü😀" for i in range(12)],
    "slashes": [f"a/../{i}\\x" for i in range(12)],
    "odd": ["", " ", "NA", "null", "007", '"', "a\tb", "line\nbreak", "a,b", "#", "carriage\rreturn", "1.0"],
}


def shuffled(num: int, seed: int) -> list[int]:
    return torch.randperm(num, generator=torch.Generator().manual_seed(seed)).tolist()


def features(num_nodes: int, may_have: torch.Tensor) -> dict[str, ModalityFeatures]:
    """Half of the nodes have each; rows of the others are NaN, which must go nowhere."""
    random, found = torch.Generator().manual_seed(1), {}
    for modality in ("text", "image"):
        present = may_have & (torch.rand(num_nodes, generator=random) < 0.6)
        values = torch.where(present[:, None], torch.randn(num_nodes, 4, generator=random), torch.nan)
        found[modality] = ModalityFeatures(FeatureSpec(modality, "enc", 4), values, present)
    return found


def one_type(ids: list[str], split: Split, pairs: torch.Tensor) -> Bundle:
    graph = MultimodalGraph(
        name="toy",
        node_ids=NodeIds(ids),
        node_types=("node",),
        node_type=torch.zeros(len(ids), dtype=torch.int64),
        relations={"edge": Relation(pairs, "node", "node", symmetric=True)},
        features=features(len(ids), torch.ones(len(ids), dtype=torch.bool)),
    )
    return Bundle(message_graph(graph, split), {"official": split})


PAIRS = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 0], [1, 2, 3, 4, 5, 6, 7, 11]])


def labelled(ids: list[str]) -> Bundle:
    part = [PARTS[i % 4] for i in range(len(ids))]
    labels = [None if i == 9 else i % 3 for i in range(len(ids))]
    table = pa.table({"id": ids, "split": part, "label": pa.array(labels, pa.int64())})
    return one_type(ids, Split("node", table, "official"), PAIRS)


def linked(ids: list[str], *, negatives: bool = True) -> Bundle:
    source, target = ([ids[i] for i in ends] for ends in PAIRS.tolist())
    part = ["train", "train", "train", "valid", "test", "train", "test", "valid"]
    columns = {"source": source, "target": target, "relation": ["edge"] * len(part), "split": part}
    if negatives:
        others = [None if name == "train" else [ids[(i + 5) % 12], ids[8]] for i, name in enumerate(part)]
        columns["negatives"] = pa.array(others, pa.list_(pa.string()))
    return one_type(ids, Split("edge", pa.table(columns), "official"), PAIRS)


def shop(ids: list[str], *, times: bool = True) -> Bundle:
    """Users and items take turns; the last of each has no interaction."""
    user, item = torch.tensor([[0, 2, 4, 0, 2, 4, 0, 6], [1, 3, 5, 3, 5, 7, 9, 1]])
    part = ["train", "train", "train", "train", "valid", "test", "test", "train"]
    trained = torch.tensor([name == "train" for name in part])
    facts = {"time": torch.arange(8) + 1_390_694_400, "rating": torch.arange(8).double() / 3} if times else {}
    table = {"user": [ids[i] for i in user.tolist()], "item": [ids[i] for i in item.tolist()], "split": part}
    settings = {"relation": "interacted", "user_type": "user", "item_type": "item"}
    split = Split("interaction", pa.table(table | {k: v.numpy() for k, v in facts.items()}), "official", settings)
    node_type = torch.arange(len(ids)) % 2
    attributes = {key: values[trained] for key, values in facts.items()}
    graph = MultimodalGraph(
        name="toy",
        node_ids=NodeIds(ids),
        node_types=("user", "item"),
        node_type=node_type,
        relations={
            "interacted": Relation(torch.stack([user, item])[:, trained], "user", "item", attributes=attributes)
        },
        features=features(len(ids), node_type == 1),
    )
    return Bundle(graph, {"official": split})


def raw_shop(ids: list[str]) -> Bundle:
    """The same shop with texts and columns of users and items instead of features."""
    bundle = shop(ids)
    graph = bundle.graph
    raw = RawGraph(
        graph.name,
        graph.node_ids,
        graph.node_types,
        graph.node_type,
        graph.relations,
        {"text": [None if i % 3 == 0 else f'No. {i} "quoted", ü\u2028漢' for i in range(len(ids))]},
        pa.table({"price": [None if i % 4 == 0 else i / 3 for i in range(len(ids))], "job": list("abcdefghijkl")}),
    )
    return Bundle(raw, bundle.splits)


def facts(ids: list[str]) -> Bundle:
    """Users, items and entities take turns; no split. All entities are part of a fact, the items of facts are linked."""
    node_type = torch.arange(len(ids)) % 3
    made_by = torch.tensor([[1, 4, 7, 10], [2, 5, 8, 11]])
    relations = {
        "interacted": Relation(
            torch.tensor([[0, 3, 0, 6], [1, 4, 4, 7]]),
            "user",
            "item",
            attributes={"rating": torch.arange(4).double() / 3},
        ),
        "made by": Relation(made_by, "item", "entity", reverse="makes"),
        "makes": Relation(made_by.flip(0), "entity", "item", reverse="made by"),
        "like": Relation(torch.tensor([[2, 2], [5, 8]]), "entity", "entity"),
    }
    linked = [f"m.{i}" if i % 3 == 1 else None for i in range(len(ids))]
    types = ("user", "item", "entity")
    columns = pa.table({"entity_id": pa.array(linked, pa.string())})
    return Bundle(RawGraph("toy", NodeIds(ids), types, node_type, relations, columns=columns))


@dataclass(frozen=True)
class TwoWay:
    """A format, and bundles that it holds completely.

    Attributes:
        read: Reads a folder.
        write: Writes a bundle into a folder.
        looks_like: Recognises the folder.
        bundle: Makes a bundle from twelve ids; its graph is called `toy`.
        options: What the reader must be told because the format does not hold it.
        writing: What the writer must be told.
        no_ids: Ids that the format cannot hold.
        holds: Parts of a bundle, as in `PARTS_TO_LEAVE_OUT`, that never hold too much for the format.
    """

    read: Callable[..., Bundle]
    write: Callable[..., None]
    looks_like: Callable[[Path], bool]
    bundle: Callable[[list[str]], Bundle]
    options: dict[str, Any] = field(default_factory=dict)
    writing: dict[str, Any] = field(default_factory=dict)
    no_ids: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


MM_GRAPH = (read_mm_graph, write_mm_graph, looks_like_mm_graph)
MMREC = (read_mmrec, write_mmrec, looks_like_mmrec)
RECBOLE = (read_recbole, write_recbole, looks_like_recbole)
MMREC_OPTIONS = {"encoders": {"text": "enc", "image": "enc"}}
RECBOLE_NAMES = {"names": RecBoleNames(relation="interacted", user_prefix="", item_prefix="", entity_prefix="")}
NO_TOKENS = ("", "a\tb", "line\nbreak", "carriage\rreturn")
FORMATS = {
    "mm_graph, nodes": TwoWay(*MM_GRAPH, labelled, holds=("unused",)),
    "mm_graph, edges": TwoWay(*MM_GRAPH, linked),
    "mm_graph, edges without negatives": TwoWay(*MM_GRAPH, lambda ids: linked(ids, negatives=False)),
    "mmrec": TwoWay(*MMREC, shop, MMREC_OPTIONS),
    "mmrec without times": TwoWay(*MMREC, lambda ids: shop(ids, times=False), MMREC_OPTIONS),
    "recbole": TwoWay(
        *RECBOLE,
        raw_shop,
        {**RECBOLE_NAMES, "text_field": "words"},
        {**RECBOLE_NAMES, "text_field": "words"},
        NO_TOKENS,
    ),
    "recbole, whole, with facts": TwoWay(
        *RECBOLE, facts, RECBOLE_NAMES, RECBOLE_NAMES, NO_TOKENS, holds=("split_columns", "unused")
    ),
}


@pytest.fixture(params=FORMATS.values(), ids=FORMATS)
def case(request: pytest.FixtureRequest) -> TwoWay:
    found: TwoWay = request.param
    return found


def assert_same_bundle(actual: Bundle, expected: Bundle) -> None:
    assert_same_graph(actual.graph, expected.graph, by_id=True)
    assert set(actual.splits) == set(expected.splits)
    for name, split in expected.splits.items():
        other = actual.splits[name]
        columns = sorted(split.table.column_names)
        assert (other.kind, other.method, sorted(other.table.column_names)) == (split.kind, split.method, columns)
        assert other.table.select(columns).equals(split.table.select(columns)), f"rows of split {name} differ"


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
@pytest.mark.parametrize("order", [None, 0])
def test_what_is_written_is_read(case: TwoWay, ids: list[str], order: int | None, tmp_path: Path) -> None:
    ids = [f"instead{i}" if item in case.no_ids else item for i, item in enumerate(ids)]
    expected = case.bundle(ids if order is None else [ids[i] for i in shuffled(len(ids), order)])
    case.write(expected, tmp_path / "toy", **case.writing)
    assert case.looks_like(tmp_path / "toy")
    actual = case.read(tmp_path / "toy", name="toy", **case.options)
    assert_same_bundle(actual, expected)
    case.write(actual, tmp_path / "again", **case.writing)
    assert_same_bundle(case.read(tmp_path / "again", name="toy", **case.options), expected)


def test_ids_that_cannot_be_held_are_refused_by_name(case: TwoWay, tmp_path: Path) -> None:
    for item in case.no_ids:
        for place in range(3):  # nodes of all types
            ids = list(IDS["plain"])
            ids[place] = item
            with pytest.raises(InputError) as error:
                case.write(case.bundle(ids), tmp_path / "toy", **case.writing)
            assert repr(item) in str(error.value)
            assert len(str(error.value).splitlines()) == 1
            assert not (tmp_path / "toy").exists()


def test_held_out_edges_are_not_in_the_graph(case: TwoWay, tmp_path: Path) -> None:
    bundle = case.bundle(IDS["plain"])
    case.write(bundle, tmp_path / "toy", **case.writing)
    read = case.read(tmp_path / "toy", name="toy", **case.options)
    assert set(read.splits) == set(bundle.splits)
    assert num_edges(read) == num_edges(bundle) > 0
    for split in read.splits.values():
        assert num_edges(Bundle(message_graph(read.graph, split))) == num_edges(bundle)


def num_edges(bundle: Bundle) -> int:
    return sum(relation.num_edges for relation in bundle.graph.relations.values())


def test_a_folder_is_replaced_on_demand_only(case: TwoWay, tmp_path: Path) -> None:
    bundle = case.bundle(IDS["plain"])
    case.write(bundle, tmp_path / "toy", **case.writing)
    (tmp_path / "toy" / "mine").touch()
    with pytest.raises(InputError, match="already exists"):
        case.write(bundle, tmp_path / "toy", **case.writing)
    assert (tmp_path / "toy" / "mine").exists()
    case.write(bundle, tmp_path / "toy", overwrite=True, **case.writing)
    assert not (tmp_path / "toy" / "mine").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]  # nothing temporary is left


def with_too_much(bundle: Bundle, part: str) -> tuple[Bundle, str]:
    """The bundle with one thing more that no format has a place for, and a word that errors must say."""
    graph, splits = bundle.graph, dict(bundle.splits)
    if part == "columns":
        more = pa.array([True] * graph.num_nodes)
        known = pa.table({}) if graph.columns is None else graph.columns
        columns = known.append_column("sold", more) if known.num_columns else pa.table({"sold": more})
        return replace_graph(bundle, columns=columns), "column sold"
    if part == "attributes":
        name, relation = next(iter(graph.relations.items()))
        wide = {**relation.attributes, "wide": torch.ones(relation.num_edges, 2)}
        return replace_graph(
            bundle, relations={**graph.relations, name: replace(relation, attributes=wide)}
        ), "edge attribute wide"
    if part == "modalities" and isinstance(graph, RawGraph):
        audio = {**graph.content, "audio": ["la"] * graph.num_nodes}
        return replace_graph(bundle, content=audio), "modality audio"
    if part == "modalities":
        spec = FeatureSpec("audio", "enc", 4)
        sounds = ModalityFeatures(spec, torch.ones(graph.num_nodes, 4), torch.ones(graph.num_nodes, dtype=torch.bool))
        return replace_graph(bundle, features={**graph.features, "audio": sounds}), "modality audio"
    (name, split), *_ = splits.items()
    table = split.table
    if part == "split_columns":
        table, told = table.append_column("why", pa.array(["so"] * table.num_rows)), "column why"
    else:
        keys = dict(zip(KEYS[split.kind], [IDS["plain"][8], IDS["plain"][9], "edge"], strict=False))
        row = dict.fromkeys(table.column_names) | keys | {"split": "unused"}
        row |= {key: 1 for key in ("time", "rating") if key in row}
        table = pa.concat_tables([table, pa.Table.from_pylist([row], schema=table.schema)])
        told = "1 unused rows"
    return Bundle(graph, {name: Split(split.kind, table, split.method, split.settings)}), told


def replace_graph(bundle: Bundle, **changes: Any) -> Bundle:
    return Bundle(replace(bundle.graph, **changes), bundle.splits)


TOO_MUCH = [(name, part) for name, case in FORMATS.items() for part in PARTS_TO_LEAVE_OUT if part not in case.holds]


@pytest.mark.parametrize(("name", "part"), TOO_MUCH)
def test_what_cannot_be_held_is_never_dropped_in_silence(name: str, part: str, tmp_path: Path) -> None:
    case = FORMATS[name]
    bundle = case.bundle(IDS["plain"])
    more, told = with_too_much(bundle, part)
    with pytest.raises(InputError, match=rf"{told}.*; leave them out with without=\['{part}'\]"):
        case.write(more, tmp_path / "toy", **case.writing)
    assert not (tmp_path / "toy").exists()
    case.write(more, tmp_path / "without", without=[part], **case.writing)
    assert_same_bundle(case.read(tmp_path / "without", name="toy", **case.options), bundle)
    with pytest.raises(InputError, match="unknown part to leave out 'everything'"):
        case.write(bundle, tmp_path / "toy", without=["everything"], **case.writing)


def test_formats_do_not_take_each_other_for_themselves(case: TwoWay, tmp_path: Path) -> None:
    case.write(case.bundle(IDS["plain"]), tmp_path / "toy", **case.writing)
    own = {other.looks_like for other in FORMATS.values() if other.looks_like(tmp_path / "toy")}
    assert own == {case.looks_like}
    (tmp_path / "empty").mkdir()
    assert not case.looks_like(tmp_path / "empty")


def test_interface(case: TwoWay) -> None:
    reader, writer = inspect.signature(case.read).parameters, inspect.signature(case.write).parameters
    assert list(reader)[:2] == ["folder", "name"]
    assert list(writer)[:2] == ["bundle", "folder"]
    assert writer["overwrite"].default is False
    for parameters, positional in ((reader, 1), (writer, 2)):
        for parameter in list(parameters.values())[positional:]:
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            assert parameter.default is not inspect.Parameter.empty
