"""Every endpoint, against the models that it declares and against the library."""

from __future__ import annotations

import io
import json

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
import torch
from starlette.testclient import TestClient

from mmgraph.data.ids import NodeIds
from mmgraph.data.store import load_graph
from mmgraph.export.base import open_store, read_table, write_table
from mmgraph.inference.compose import compose_query
from mmgraph.inference.table import EmbeddingTable
from mmgraph.serve.app import make_app
from mmgraph.serve.index import Sources
from mmgraph.serve.models import About, MapAnswer, NeighboursAnswer, Node, RecommendAnswer, SearchAnswer
from mmgraph.tasks.base import load_tasks
from mmgraph.tasks.node_classification import NodeClassificationTask
from mmgraph.training.evaluate import query_encoder
from mmgraph.training.loading import load_model


def ids_of(reply) -> list:
    assert reply.status_code == 200, reply.text
    return [hit.id for hit in SearchAnswer.model_validate_json(reply.content).hits]


@pytest.fixture(scope="module")
def table(workspace) -> EmbeddingTable:
    return read_table(workspace.store)


@pytest.fixture(scope="module")
def encoder(workspace):
    graph = load_graph(workspace.graph)
    return query_encoder(load_model(workspace.run), graph, ["text", "image"])


def test_health_and_about(client, workspace) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    about = About.model_validate_json(client.get("/about").content)
    graph = load_graph(workspace.graph)
    assert (about.name, about.graph, about.nodes, about.dim, about.exact) == ("toy", "toy", 60, 16, True)
    assert about.model == open_store(workspace.store).manifest["model"]
    assert about.node_types == {"item": 45, "user": 15}
    assert about.relations == list(graph.relations)
    assert about.colours == ["type", "community", "title"]
    assert (about.modalities, about.id_type) == (["text", "image"], "string")
    columns = {column.name: column for column in about.columns}
    assert columns["community"].kind == "number"
    assert not {"text", "image", "id", "type"} & set(columns)
    assert len(about.examples) == 3
    for node in about.examples:
        shown = client.get(f"/nodes/{node}").json()
        assert shown["text"]
        assert shown["has_picture"]


@pytest.mark.parametrize("path", ["/search", "/similar"])
@pytest.mark.parametrize("node_type", [None, "user"])
def test_search_by_id_is_the_search_of_the_table(client, table, path, node_type) -> None:
    query = {"id": "n0003", "k": 7, **({"type": node_type} if node_type else {})}
    reply = client.get(path, params=query)
    found = table.search(table.vectors_of(["n0003"]), 7, node_type=node_type, exclude=table.positions(["n0003"]))
    assert ids_of(reply) == found.ids()[0]
    scores = [hit["score"] for hit in reply.json()["hits"]]
    assert np.allclose(scores, found.scores[0].numpy(), atol=1e-5)
    assert reply.json()["took_ms"] > 0


def test_search_by_text_image_and_composed(client, table, encoder, pictured) -> None:
    node, file = pictured

    def expected(k: int = 5, **parts) -> list:
        query = compose_query(table, encoder=encoder, **parts)
        return table.search(query.vector, k, exclude=query.exclude if parts.get("like") else None).ids()[0]

    assert ids_of(client.get("/search", params={"text": "a red circle", "k": 5})) == expected(text="a red circle")
    form = {"text": "a red circle", "k": "5"}
    assert ids_of(client.post("/search", data=form, files={"other": b""})) == expected(text="a red circle")
    picture = {"image": ("whatever.txt", file.read_bytes(), "text/plain")}
    assert ids_of(client.post("/search", data={"k": "5"}, files=picture)) == expected(image=file)
    assert ids_of(client.post("/search", data=form, files=picture)) == expected(text="a red circle", image=file)
    asked = {"like": node, "text": "red", "not": "blue", "k": 5}
    assert ids_of(client.get("/search", params=asked)) == expected(like=node, text="red", without="blue")
    asked = {"like": node, "not": "a blue square", "k": 5}
    assert ids_of(client.get("/search", params=asked)) == expected(like=node, without="a blue square")


def test_parts_are_cosines_of_raw_features_and_of_the_neighbours(client, table, workspace, pictured) -> None:
    graph, node = load_graph(workspace.graph), pictured[0]
    hits = SearchAnswer.model_validate_json(client.get("/similar", params={"id": node, "k": 60}).content).hits
    assert len(hits) == 59
    unit = torch.nn.functional.normalize(table.vectors, dim=1)
    edges = graph.message_edges()[0]
    own = int(graph.node_ids.positions([node])[0])
    seen = set()
    for hit in hits:
        row = int(graph.node_ids.positions([hit.id])[0])
        near = edges[0, edges[1] == row].unique()
        expected = {}
        for name, features in graph.features.items():
            if bool(features.present[row]) and bool(features.present[own]):
                a, b = (features.values[i] - features.mean for i in (row, own))
                expected[name] = float(torch.cosine_similarity(a, b, dim=0))
        if 0 < len(near) <= 16:
            expected["neighbours"] = float(torch.cosine_similarity(unit[near].mean(dim=0), unit[own], dim=0))
        elif len(near):
            hit.parts.pop("neighbours")
        assert hit.parts.keys() == expected.keys()
        assert np.allclose([hit.parts[name] for name in expected], list(expected.values()), atol=1e-4)
        seen |= expected.keys()
    assert seen == {"text", "image", "neighbours"}


def test_recommend_leaves_the_history_out_and_gives_reasons(client, table) -> None:
    history = ["n0001", "n0002", "n0005", "n0001"]
    reply = client.post("/recommend", json={"history": history, "k": 6, "type": "item"})
    hits = RecommendAnswer.model_validate_json(reply.content).hits
    query = compose_query(table, like=history)
    found = table.search(query.vector, 6, node_type="item", exclude=query.exclude)
    assert [hit.id for hit in hits] == found.ids()[0]
    assert not {hit.id for hit in hits} & set(history)
    unit = torch.nn.functional.normalize(table.vectors_of(history[:3]), dim=1)
    for hit in hits:
        cosines = (unit @ torch.nn.functional.normalize(table.vectors_of([hit.id]), dim=1).T).flatten().clamp(min=0)
        shares = dict(zip(history[:3], (cosines / cosines.sum()).tolist(), strict=True))
        given = {item.id: item.share for item in hit.because}
        assert given.keys() == {node for node, share in shares.items() if share > 0}
        assert all(abs(share - shares[node]) < 1e-3 for node, share in given.items())
        assert list(given.values()) == sorted(given.values(), reverse=True)


def test_nodes_and_pictures(client, workspace, pictured) -> None:
    node, file = pictured
    graph = load_graph(workspace.graph)
    shown = Node.model_validate_json(client.get(f"/nodes/{node}").content)
    row = int(graph.node_ids.positions([node])[0])
    assert graph.columns is not None
    assert (shown.text, shown.has_picture) == (graph.columns["text"][row].as_py(), True)
    assert shown.degree == int((graph.message_edges()[0][1] == row).sum())
    assert shown.columns == {name: graph.columns[name][row].as_py() for name in ("title", "community")}
    for _ in range(2):  # drawn, then from the cache
        reply = client.get("/picture", params={"id": node})
        assert reply.headers["content-type"] == "image/webp"
        drawn = PIL.Image.open(io.BytesIO(reply.content))
        assert drawn.format == "WEBP"
        assert drawn.size == PIL.Image.open(file).size
    without = next(i for i, path in enumerate(graph.columns["image"].to_pylist()) if path is None)
    assert client.get("/picture", params={"id": graph.node_ids[without]}).status_code == 404


def test_neighbours_are_those_of_the_graph(client, workspace) -> None:
    graph = load_graph(workspace.graph)
    edges = graph.message_edges()[0]
    for node in ("n0000", "n0001", "n0007"):
        reply = client.get("/neighbours", params={"id": node, "hops": 1, "limit": 100})
        answer = NeighboursAnswer.model_validate_json(reply.content)
        row = int(graph.node_ids.positions([node])[0])
        near = {graph.node_ids[int(i)] for i in edges[0, edges[1] == row]}
        assert answer.nodes[0].id == node
        assert {item.id for item in answer.nodes} == near | {node}
        assert not answer.truncated
        expected = set()
        for name, relation in graph.relations.items():
            for a, b in relation.edge_index.T.tolist():
                ends = (graph.node_ids[a], graph.node_ids[b])
                if set(ends) <= near | {node}:
                    expected.add((frozenset(ends) if relation.symmetric else ends, name))
        found = [(e.source, e.target, e.relation) for e in answer.edges]
        kinds = {name: relation.symmetric for name, relation in graph.relations.items()}
        assert {(frozenset((a, b)) if kinds[n] else (a, b), n) for a, b, n in found} == expected
        assert len(found) == len(expected)
    two = client.get("/neighbours", params={"id": "n0001", "hops": 2, "limit": 5}).json()
    assert len(two["nodes"]) == 5
    assert two["truncated"]


def test_map_has_every_node_and_groups(client, workspace) -> None:
    service = client.app.state.service
    assert service.holder.index.plane.final.wait(60)
    answer = MapAnswer.model_validate_json(client.get("/map").content)
    graph = load_graph(workspace.graph)
    assert answer.ids == graph.node_ids.values.tolist()
    assert answer.colour_by == "type"
    assert [answer.groups[code] for code in answer.group] == [graph.node_types[i] for i in graph.node_type.tolist()]
    points = np.asarray([answer.x, answer.y])
    assert points.min() == 0
    assert points.max() == 1
    assert len(np.unique(points, axis=1).T) > 50
    few = MapAnswer.model_validate_json(client.get("/map", params={"limit": 7}).content)
    assert len(few.ids) == len(few.x) == len(few.y) == len(few.group) == 7
    assert [answer.x[answer.ids.index(node)] for node in few.ids] == few.x
    coloured = MapAnswer.model_validate_json(client.get("/map", params={"colour_by": "community"}).content)
    task = load_tasks(workspace.graph)["community"]
    assert isinstance(task, NodeClassificationTask)
    labels = dict(zip(task.labels["id"].to_pylist(), task.labels["label"].to_pylist(), strict=True))
    shown = {node: coloured.groups[code] for node, code in zip(coloured.ids, coloured.group, strict=True)}
    assert shown == {node: labels.get(node, "(none)") for node in answer.ids}


def test_page_metrics_and_headers(client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/static/index.html").content == page.content
    for name in ("..%2f..%2fapp.py", "%2e%2e/app.py", "app.py", "../app.py", "/etc/passwd"):
        assert client.get(f"/static/{name}").status_code == 404, name
    for reply in (page, client.get("/about"), client.get("/nodes/nobody"), client.get("/nowhere")):
        assert "default-src 'self'; img-src 'self' data: blob:" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert client.get("/nowhere").json() == {"error": "Not Found"}
    assert client.delete("/about").status_code == 405
    text = client.get("/metrics").text
    assert 'mmgraph_requests_total{route="/about",status="200"}' in text
    assert 'route="/nodes/{id:path}",status="404"' in text
    assert "nobody" not in text
    assert "mmgraph_index_nodes 60.0" in text
    assert "mmgraph_search_batch_count" in text


def test_openapi_describes_everything(client) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        *("/search", "/similar", "/recommend", "/nodes/{id}", "/picture", "/neighbours", "/map", "/about"),
        *("/healthz", "/metrics"),
    }
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            assert operation["description"], path
            assert all(item["description"] for item in operation.get("parameters", []) if item["in"] == "query"), path
    assert "Hit" in described["components"]["schemas"]


def make_store(path, ids: list, columns: pa.Table | None = None) -> EmbeddingTable:
    vectors = torch.nn.functional.normalize(torch.randn(len(ids), 8), dim=1)
    kinds = torch.zeros(len(ids), dtype=torch.int64)
    table = EmbeddingTable(NodeIds(ids), vectors, ("thing",), kinds, "odd", "none", columns)
    write_table(table, path, format="npy")
    return table


def test_ids_with_slashes_and_unicode(tmp_path) -> None:
    ids = ["a/b", "/", "ü ñ/☃", "100%", "a?b=c#d", "..", " ", "a+b", '<img src=x onerror="1">', "\u202e", "1", "-1"]
    table = make_store(tmp_path / "s", ids)
    with TestClient(make_app(Sources(embeddings=tmp_path / "s"), reload_seconds=0)) as client:
        for node in ids:
            found = table.search(table.vectors_of([node]), 3, exclude=table.positions([node])).ids()[0]
            assert ids_of(client.get("/similar", params={"id": node, "k": 3})) == found
            if node not in ("..", "/"):  # clients take these out of a path
                from urllib.parse import quote

                assert client.get(f"/nodes/{quote(node, safe='')}").json()["id"] == node
        assert client.get("/similar", params={"id": "a/b "}).status_code == 404
        assert client.post("/recommend", json={"history": [1]}).status_code == 404


def test_integer_ids_stay_integers(tmp_path) -> None:
    ids = [5, -3, 2**62, 0]
    make_store(tmp_path / "s", ids)
    with TestClient(make_app(Sources(embeddings=tmp_path / "s"), reload_seconds=0)) as client:
        assert client.get("/about").json()["id_type"] == "int"
        for node in ids:
            assert set(ids_of(client.get("/similar", params={"id": str(node)}))) == set(ids) - {node}
            assert client.get(f"/nodes/{node}").json()["id"] == node
        for history in ([5, -3], ["5", "-3"]):
            hits = client.post("/recommend", json={"history": history}).json()["hits"]
            assert {hit["id"] for hit in hits} == {2**62, 0}
        for wrong, status in (("five", 400), ("²", 400), ("5.0", 400), ("", 400), ("7", 404), ("9" * 40, 404)):
            assert client.get("/similar", params={"id": wrong}).status_code == status, wrong


def test_embeddings_alone_are_searched_by_id_only(tmp_path) -> None:
    columns = pa.table(
        {
            "price": [1.5, float("nan"), float("inf")],
            "when": pa.array([0, None, 10**9], pa.timestamp("s")),
            "tags": pa.array([["a"], None, []], pa.list_(pa.string())),
            "kind": pa.array(["x", None, "y"]).dictionary_encode(),
        }
    )
    make_store(tmp_path / "s", ["a", "b", "c"], columns)
    with TestClient(make_app(Sources(embeddings=tmp_path / "s"), reload_seconds=0)) as client:
        about = client.get("/about").json()
        assert about["modalities"] == []
        assert [(c["name"], c["kind"], c["values"]) for c in about["columns"]] == [
            ("price", "number", []),
            ("when", "text", []),
            ("tags", "text", []),
            ("kind", "category", ["x", "y"]),
        ]
        shown = [json.loads(client.get(f"/nodes/{node}").content, parse_constant=pytest.fail) for node in "abc"]
        assert [node["columns"]["price"] for node in shown] == [1.5, None, None]
        assert shown[0]["columns"] == {"price": 1.5, "when": "1970-01-01T00:00:00", "tags": ["a"], "kind": "x"}
        assert client.get("/search", params={"text": "red"}).status_code == 400
        assert client.get("/neighbours", params={"id": "a"}).json()["edges"] == []
        assert client.get("/picture", params={"id": "a"}).status_code == 404
        assert client.get("/map").json()["colour_by"] == "kind"
        hits = client.get("/similar", params={"id": "a"}).json()["hits"]
        assert [hit["parts"] for hit in hits] == [{}, {}]


@pytest.mark.parametrize("kind", ["parquet", "faiss-hnsw", "faiss-ivfpq", "duckdb", "lancedb", "qdrant", "usearch"])
def test_every_store(workspace, tmp_path, kind) -> None:
    table = read_table(workspace.store)
    path = write_table(table, tmp_path / "s", format=kind)
    with TestClient(make_app(Sources(None, workspace.graph, path), reload_seconds=0)) as client:
        reply = client.get("/similar", params={"id": "n0003", "k": 5})
        found = table.search(table.vectors_of(["n0003"]), 5, exclude=table.positions(["n0003"])).ids()[0]
        exact = client.get("/about").json()["exact"]
        assert ids_of(reply) == found if exact else len(set(ids_of(reply)) & set(found)) >= 2
        assert client.get("/map").status_code == 200
