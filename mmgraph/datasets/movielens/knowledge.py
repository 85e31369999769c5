"""The knowledge graph of the wheel, joined to the movies that it is about."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.data.relation import Relation
from mmgraph.datasets.movielens.movielens_1m import Join
from mmgraph.errors import InputError, first_few
from mmgraph.formats.recbole.atomic import parse_atomic

Triple = tuple[str, str, str]
"""Head, relation, tail."""

ENTITY, SEQUEL = "entity", "has_sequel"

RELATIONS = {
    "film.film.actor": "has_actor",
    "film.film.cinematography": "has_cinematographer",
    "film.film.country": "has_country",
    "film.film.directed_by": "has_director",
    "film.film.language": "has_language",
    "film.film.produced_by": "has_producer",
    "film.film.production_companies": "has_company",
    "film.film.rating": "has_content_rating",
    "film.film.sequel": SEQUEL,
    "film.film.subjects": "has_subject",
    "film.film.written_by": "has_writer",
}
"""What relations of Freebase that lead from a film are called here."""

REVERSE = {
    "film.actor.film": "film.film.actor",
    "film.cinematographer.film": "film.film.cinematography",
    "film.content_rating.film": "film.film.rating",
    "film.director.film": "film.film.directed_by",
    "film.film.prequel": "film.film.sequel",
    "film.film_genre.films_in_this_genre": "film.film.genre",
    "film.film_subject.films": "film.film.subjects",
    "film.producer.film": "film.film.produced_by",
    "film.production_company.films": "film.film.production_companies",
    "film.writer.film": "film.film.written_by",
}
"""Relations that state the same facts from the other end; a fact is one edge, whichever end states it."""

GENRE = "film.film.genre"
AWARDS = ("film.film.award_nomination", "film.film.award_won")
"""Left out: prizes of a genre (the best documentary, the best film of science fiction) restate it, and which prize is
one cannot be told from an id."""

AGREEMENT = 0.4
"""Below this agreement of genres the links are those of other movies; wrong ones have 0.17, right ones 0.70."""


@dataclass(frozen=True)
class Knowledge:
    """Facts about movies.

    Attributes:
        film_of: Entity by movie.
        facts: Distinct facts as relation, film and entity (or film), sorted.
        told: What was left out and why, by number, ready for JSON.
    """

    film_of: Mapping[str, str]
    facts: Sequence[Triple]
    told: Mapping[str, Any] = field(default_factory=dict)


def parse_links(data: bytes, *, where: str = "links") -> dict[str, str]:
    """Entity by number of the movie.

    Raises:
        InputError: If fields are missing, or a movie or entity occurs twice.
    """
    file = parse_atomic(data, where=where)
    numbers, entities = file.tokens("item_id").to_pylist(), file.tokens("entity_id").to_pylist()
    for tokens in (numbers, entities):
        NodeIds(tokens, where=where)  # refuses repeats
    return dict(zip(numbers, entities, strict=True))


def parse_triples(data: bytes, *, where: str = "triples") -> list[Triple]:
    """Distinct triples with reverse relations turned round, sorted by relation, head and tail; relation first.

    Raises:
        InputError: If fields are missing, or a relation is unknown.
    """
    file = parse_atomic(data, where=where)
    names = ("head_id", "relation_id", "tail_id")
    columns = [file.tokens(name).to_pylist() for name in names]
    unknown = sorted(set(columns[1]) - {*RELATIONS, *REVERSE, GENRE, *AWARDS})
    if unknown:
        raise InputError(f"{where}: unknown relations {first_few(unknown)}")
    return sorted(
        {
            (REVERSE[relation], tail, head) if relation in REVERSE else (relation, head, tail)
            for head, relation, tail in zip(*columns, strict=True)
        }
    )


def knowledge_of(movies: pd.DataFrame, join: Join, links: Mapping[str, str], triples: Iterable[Triple]) -> Knowledge:
    """Choose the facts that become edges.

    Left out are genres, entities of genres wherever they stand, awards, and entities that one film alone is linked to,
    because they say nothing that two movies have in common.

    Args:
        movies: As `parse_movies` gives them; their genres serve to check the links, and nothing else.
        join: Which number of MovieLens 1M a movie has.
        links: Entity by that number.
        triples: As `parse_triples` gives them.

    Raises:
        InputError: If the genres of linked movies are not those that the knowledge graph says.
    """
    film_of = {movie: links[str(number)] for movie, number in join.numbers.items() if str(number) in links}
    triples = list(triples)
    agreement = genre_agreement(movies, film_of, triples)
    if agreement < AGREEMENT:
        raise InputError(
            f"the knowledge graph is linked to other movies: genres agree by {agreement:.2f} (mean F1), expected about "
            "0.70; is the list of movies that of MovieLens 1M?"
        )
    films = set(film_of.values())
    genres = {tail for relation, _, tail in triples if relation == GENRE}
    left_out: Counter[str] = Counter()
    facts = []
    for relation, film, other in triples:
        name = RELATIONS.get(relation)
        if name is None:
            left_out["genres" if relation == GENRE else "awards"] += 1
        elif film not in films:
            left_out["of films that are no movie here"] += 1
        elif other in genres:
            left_out["entity of a genre"] += 1
        elif (name == SEQUEL) != (other in films):
            left_out["sequels that are no movie here" if name == SEQUEL else "a movie as subject"] += 1
        else:
            facts.append((name, film, other))
    linked: dict[str, set[str]] = defaultdict(set)
    for name, film, other in facts:
        if name != SEQUEL:
            linked[other].add(film)
    shared = [fact for fact in facts if fact[0] == SEQUEL or len(linked[fact[2]]) > 1]
    left_out["entity of one movie"] = len(facts) - len(shared)
    told = {
        "joined": dict(join.how),
        "not_found": list(join.unmatched),
        "ambiguous": list(join.ambiguous),
        "joined_without_entity": len(join.numbers) - len(film_of),
        "linked_movies": len(film_of),
        "linked_films": len(films),
        "genre_agreement": round(agreement, 4),
        "entities_of_one_movie": sum(len(own) == 1 for own in linked.values()),
        "facts_left_out": dict(sorted(left_out.items())),
    }
    return Knowledge(film_of, sorted(shared), told)


def genre_agreement(movies: pd.DataFrame, film_of: Mapping[str, str], triples: Iterable[Triple]) -> float:
    """How well genres of the knowledge graph agree with those of the movies, if the links are right.

    For each genre of the movies the genre of the knowledge graph with the highest F1 is taken; the mean of these.
    """
    entities: dict[str, set[str]] = defaultdict(set)
    for relation, film, genre in triples:
        if relation == GENRE:
            entities[film].add(genre)
    theirs, ours = defaultdict(set), defaultdict(set)
    for movie, genres in zip(movies["id"], movies["genres"], strict=True):
        if movie in film_of:
            for genre in genres:
                ours[genre].add(movie)
            for genre in entities[film_of[movie]]:
                theirs[genre].add(movie)
    best = [max((_f1(mine, other) for other in theirs.values()), default=0.0) for mine in ours.values()]
    return float(np.mean(best)) if best else 0.0


def _f1(one: set[str], other: set[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other))


def with_knowledge(graph: RawGraph, knowledge: Knowledge) -> RawGraph:
    """Add entities without text, the relations, and a column `entity` with the entity that a movie is.

    Args:
        graph: The graph of `raw_graph`.
        knowledge: Facts about its movies.
    """
    movies_of: dict[str, list[str]] = defaultdict(list)
    for movie, film in knowledge.film_of.items():
        movies_of[film].append(movie)
    entities = sorted({other for name, _, other in knowledge.facts if name != SEQUEL})
    node_ids = NodeIds([*graph.node_ids.values.tolist(), *(f"{ENTITY}:{e}" for e in entities)], where=graph.name)
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, film, other in knowledge.facts:
        targets = movies_of[other] if name == SEQUEL else [f"{ENTITY}:{other}"]
        pairs[name] += [(movie, target) for movie in movies_of[film] for target in targets]
    relations = dict(graph.relations)
    for name, ends in sorted(pairs.items()):
        index = [node_ids.positions(list(side), where=name) for side in zip(*ends, strict=True)]
        edge_index = torch.from_numpy(np.stack(index))
        relations[name] = Relation(edge_index, "movie", "movie" if name == SEQUEL else ENTITY)
    absent = [None] * len(entities)
    film_of = [knowledge.film_of.get(node) for node in graph.node_ids.values.tolist()]
    columns = {} if graph.columns is None else {n: graph.columns[n].to_pylist() for n in graph.columns.column_names}
    types = {} if graph.columns is None else {n: graph.columns.schema.field(n).type for n in graph.columns.column_names}
    code = torch.full((len(entities),), len(graph.node_types), dtype=torch.int64)
    return dataclasses.replace(
        graph,
        node_ids=node_ids,
        node_types=(*graph.node_types, ENTITY),
        node_type=torch.cat([graph.node_type, code]),
        relations=relations,
        content={name: [*items, *absent] for name, items in graph.content.items()},
        columns=pa.table(
            {
                **{name: pa.array([*cells, *absent], types[name]) for name, cells in columns.items()},
                "entity": pa.array([*film_of, *absent], pa.string()),
            }
        ),
    )
