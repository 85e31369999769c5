"""What goes over the wire. Pydantic writes NaN and infinity as `null`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NodeId = int | str


class Message(BaseModel):
    """Base of all answers: no fields but those declared."""

    model_config = ConfigDict(extra="forbid")


class Failure(Message):
    """Why a request was not answered."""

    error: str = Field(description="One line.")


class Health(Message):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Column(Message):
    """A column that nodes have."""

    name: str
    kind: Literal["text", "number", "category"]
    values: list[str] = Field(default=[], description="Distinct values, if there are at most 200.")


class About(Message):
    """What is served, and what may be asked."""

    name: str
    graph: str
    model: str = Field(description="Digest of the model that made the vectors, and the level if it is not the last.")
    version: str = Field(description="Version of mmgraph.")
    nodes: int
    dim: int
    exact: bool = Field(description="Whether a search finds the very nearest nodes.")
    node_types: dict[str, int] = Field(description="Number of nodes by type.")
    relations: list[str]
    modalities: list[str] = Field(description="What a query can have besides ids.")
    columns: list[Column]
    id_type: Literal["string", "int"]
    max_k: int
    max_upload_bytes: int
    examples: list[NodeId] = Field(description="Ids of up to three nodes with text or picture.")


class Node(Message):
    """A node."""

    id: NodeId
    type: str
    text: str | None
    columns: dict[str, Any]
    has_picture: bool
    degree: int = Field(description="Number of edges, of all relations and in both directions.")


class Hit(Message):
    """A node that was found."""

    id: NodeId
    type: str
    score: float = Field(description="Cosine with the query.")
    text: str | None
    columns: dict[str, Any]
    has_picture: bool
    parts: dict[str, float] = Field(
        description="Cosine of the features of query and hit by modality, where both have it; `neighbours`: cosine of the "
        "query with the mean of the hit's neighbours."
    )


class Because(Message):
    """An item of the history that a recommendation rests on."""

    id: NodeId
    share: float = Field(description="Its share of the positive part of the score, 0 to 1.")


class Recommended(Hit):
    """A node that was recommended."""

    because: list[Because] = Field(description="Up to three items of the history with the largest shares.")


class SearchAnswer(Message):
    """Hits, best first."""

    hits: list[Hit]
    took_ms: float


class RecommendAnswer(Message):
    """Recommended nodes, best first."""

    hits: list[Recommended]
    took_ms: float


class RecommendRequest(BaseModel):
    """A history to recommend from."""

    history: list[NodeId] = Field(description="Ids; none of them is recommended.", min_length=1)
    k: int = Field(default=10, ge=1)
    type: str | None = Field(default=None, description="Recommend nodes of this type only.")
    where: str | None = Field(default=None, description="Filter.")


class Edge(Message):
    """An edge between two nodes of the answer."""

    source: NodeId
    target: NodeId
    relation: str


class NeighboursAnswer(Message):
    """The surroundings of a node, the node itself first, near nodes before far ones."""

    nodes: list[Node]
    edges: list[Edge]
    truncated: bool = Field(description="Whether nodes were left out because of the limit.")


class MapAnswer(Message):
    """Nodes on a plane; lists have one entry per node."""

    ids: list[NodeId]
    x: list[float] = Field(description="0 to 1.")
    y: list[float] = Field(description="0 to 1.")
    group: list[int] = Field(description="Number of the group in `groups`.")
    groups: list[str]
    colour_by: str = Field(description="`type` or the name of a column.")
