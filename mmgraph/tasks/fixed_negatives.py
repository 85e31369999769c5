"""Ranking of edges among negatives that were drawn once, by whoever made the benchmark."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from mmgraph.data.ids import as_ids
from mmgraph.errors import InputError
from mmgraph.metrics.ranking import Ranks, ranks_against
from mmgraph.tasks.alignment import chunk_size


def checked_negatives(where: str, column: pa.ChunkedArray, id_type: pa.DataType) -> pa.ChunkedArray:
    """Check that every edge has a list of ids, and give all of them one type.

    Args:
        where: Named in errors.
        column: Lists of ids.
        id_type: Type of the ids of targets.

    Raises:
        InputError: If the column holds no lists, a list is missing or empty, or its ids are of another type.
    """
    where = f"{where}, column 'negatives'"
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise InputError(f"{where}: expected lists of ids, got {kind}")
    column = column.cast(pa.list_(kind.value_type)).combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    empty = int(pc.sum(pc.equal(lengths, 0)).as_py() or 0)
    if empty:
        raise InputError(
            f"{where}: {empty:,} of {len(column):,} edges have no negatives; give all of them some, or none"
        )
    flat = column.flatten()
    if not (pa.types.is_string(flat.type) or flat.type == pa.int64()) or flat.null_count:
        ids = as_ids(flat, where=where)
        flat = pa.array(ids, type=pa.string() if ids.dtype == object else pa.int64())
    if flat.type != id_type and len(flat):
        raise InputError(f"{where}: expected ids like those of targets ({id_type}), got {flat.type}")
    ends = pc.cumulative_sum(lengths.cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, flat)])


def rank_against_fixed(vectors: Tensor, pairs: Tensor, negatives: Tensor, lengths: Tensor) -> Ranks:
    """Rank the target of each pair among the negatives of the pair, for its source as the query.

    Args:
        vectors: `[num_nodes, dim]`, unit vectors.
        pairs: `[2, num_pairs]`: source and target.
        negatives: `[sum(lengths)]`: nodes, those of the first pair first.
        lengths: `[num_pairs]`, int64: how many each pair has, at least one.
    """
    stop = lengths.cumsum(0)
    widest = int(lengths.max()) if lengths.numel() else 1
    step = chunk_size((widest + 1) * vectors.size(1))
    parts = []
    for start in range(0, pairs.size(1), step):
        source, target = pairs[:, start : start + step]
        count = lengths[start : start + step]
        end = stop[start : start + step]
        row = torch.repeat_interleave(torch.arange(count.numel()), count)
        others = negatives[int(end[0] - count[0]) : int(end[-1])]
        # Targets and negatives in one sum over rows: equal vectors then get equal scores, bit for bit, and tie.
        query, found = torch.cat([source, source[row]]), torch.cat([target, others])
        scores = (vectors[query.to(vectors.device)] * vectors[found.to(vectors.device)]).sum(dim=1)
        table = scores.new_full((count.numel(), int(count.max())), -torch.inf)
        column = torch.arange(row.numel()) - (end - count - (end[0] - count[0]))[row]
        table[row.to(scores.device), column.to(scores.device)] = scores[count.numel() :]
        parts.append(ranks_against(scores[: count.numel()], table))
    return Ranks.cat(parts)
