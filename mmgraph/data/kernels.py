"""Compiled inner loops of the samplers.

Each kernel runs without the interpreter lock, on one thread, so its result cannot depend on scheduling; callers get
parallelism by giving different seeds to different threads. Machine code is kept on disk beside this file (or in
Numba's user cache), so only the first run on a machine compiles. Import this module inside functions: Numba takes
half a second to import.

Workspaces (`position`, `state`) have one entry per node, are clean on entry and left clean on exit, so
that the cost of a call follows what it touches and not the size of the graph.
"""

from __future__ import annotations

import numpy as np

from mmgraph.compiled import compiled

Array = np.ndarray


@compiled
def mix(state: np.uint64) -> np.uint64:
    """Scramble 64 bits (the finaliser of SplitMix64, Steele et al., 2014, OOPSLA)."""
    state = np.uint64(state + np.uint64(0x9E3779B97F4A7C15))
    state = np.uint64((state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
    state = np.uint64((state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))
    return np.uint64(state ^ (state >> np.uint64(31)))


@compiled
def grown(array: Array, size: int) -> Array:
    """Copy `array` into a larger one if it cannot hold `size` items."""
    if size <= array.size:
        return array
    out = np.empty(max(size, 2 * array.size), array.dtype)
    out[: array.size] = array
    return out


@compiled
def push_top_k(
    indptr: Array,
    indices: Array,
    seeds: Array,
    alpha: float,
    epsilon: float,
    state: Array,
    queue: Array,
    touched: Array,
    out_index: Array,
    out_score: Array,
) -> None:
    """Fill the top-k approximate PPR of each seed; see `mmgraph.data.ppr.ppr_top_k`.

    Args:
        indptr: `[num_nodes + 1]`.
        indices: `[num_edges]`.
        seeds: `[num_seeds]`.
        alpha: Teleport probability.
        epsilon: A node is pushed once its residual reaches `epsilon * degree`.
        state: `[num_nodes, 4]`, zeros: residual, mass, threshold and degree of a node side by side. An edge then costs one
            miss of the cache, not one per quantity, and pages of nodes that no walk reaches are never touched.
        queue: `[num_nodes + 1]`, any content.
        touched: `[num_nodes + 1]`, any content.
        out_index: `[num_seeds, top_k]`, filled with -1; the seed comes first.
        out_score: `[num_seeds, top_k]`, float32, zeros.
    """
    capacity = queue.size
    top_k = out_index.shape[1]
    ties = np.empty(top_k, np.uint64)
    for row in range(seeds.size):
        seed = seeds[row]
        degree = indptr[seed + 1] - indptr[seed]
        state[seed, 0], state[seed, 2], state[seed, 3] = 1.0, epsilon * degree, degree
        touched[0], num_touched = seed, 1
        queue[0], head, waiting = seed, 0, 1
        settled = 0.0
        while waiting > 0:  # first in, first out needs far fewer pushes than a stack
            node = queue[head]
            head = head + 1 if head + 1 < capacity else 0
            waiting -= 1
            pushed = state[node, 0]
            state[node, 0] = 0.0
            state[node, 1] += alpha * pushed
            settled += alpha * pushed
            start, end = indptr[node], indptr[node + 1]
            if start == end:
                continue
            share = (1.0 - alpha) * pushed / (end - start)
            for edge in range(start, end):
                other = indices[edge]
                before = state[other, 0]
                after = before + share
                state[other, 0] = after
                if before == 0.0 and state[other, 1] == 0.0:
                    touched[num_touched] = other
                    num_touched += 1
                    degree = indptr[other + 1] - indptr[other]
                    state[other, 2], state[other, 3] = epsilon * degree, degree
                # A node waits exactly while its residual is above the threshold, so crossing it means joining.
                if before < state[other, 2] and after >= state[other, 2]:
                    tail = head + waiting
                    queue[tail if tail < capacity else tail - capacity] = other
                    waiting += 1
        # What is not settled will end up near the stationary distribution, which is proportional to the degree.
        spread = (1.0 - alpha) * (1.0 - settled) / max(indices.size, 1)
        out_index[row, 0] = seed
        out_score[row, 0] = state[seed, 1] + alpha * state[seed, 0] + spread * state[seed, 3]
        filled = 1
        for at in range(num_touched):
            node = touched[at]
            # Rounding to float32 makes true ties equal whatever the order of the additions; a hash breaks them, as
            # a fixed order would always prefer the nodes that come first in the user's table.
            score = np.float32(state[node, 1] + alpha * state[node, 0] + spread * state[node, 3])
            state[node] = 0.0
            if node == seed or top_k == 1:
                continue
            tie = mix(np.uint64(seed) ^ mix(np.uint64(node)))
            slot = filled
            if filled == top_k:
                slot = top_k - 1
                if score < out_score[row, slot] or (score == out_score[row, slot] and tie >= ties[slot]):
                    continue
            else:
                filled += 1
            while slot > 1 and (
                score > out_score[row, slot - 1] or (score == out_score[row, slot - 1] and tie < ties[slot - 1])
            ):
                out_score[row, slot] = out_score[row, slot - 1]
                out_index[row, slot] = out_index[row, slot - 1]
                ties[slot] = ties[slot - 1]
                slot -= 1
            out_score[row, slot] = score
            out_index[row, slot] = node
            ties[slot] = tie


@compiled
def induced_edges(
    indptr: Array, indices: Array, edge_type: Array, members: Array, position: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Messages among the members of each subgraph; rows are numbered roots first, then the rest by subgraph.

    Args:
        indptr: `[num_nodes + 1]`.
        indices: `[num_edges]`, ascending within a row.
        edge_type: `[num_edges]`.
        members: `[num_subgraphs, size]`: distinct nodes, root first, padded with -1 at the end.
        position: `[num_nodes]`, int32, all -1.

    Returns:
        `nodes` and `subgraph` `[num_rows]`, then `source`, `target` and `type` `[num_messages]`.
    """
    num_subgraphs, size = members.shape
    nodes = np.empty(num_subgraphs * size, np.int64)
    subgraph = np.empty(num_subgraphs * size, np.int64)
    capacity = 4 * nodes.size + 16
    source, target, kind = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    num_rows, num_messages = num_subgraphs, 0
    for sub in range(num_subgraphs):
        count = 0
        while count < size and members[sub, count] >= 0:
            local = sub if count == 0 else num_rows + count - 1
            position[members[sub, count]] = local
            nodes[local], subgraph[local] = members[sub, count], sub
            count += 1
        num_rows += count - 1
        for at in range(count):
            node = members[sub, at]
            start, end = indptr[node], indptr[node + 1]
            room = num_messages + end - start
            source, target, kind = grown(source, room), grown(target, room), grown(kind, room)
            if end - start <= 32 * count:
                for edge in range(start, end):
                    local = position[indices[edge]]
                    if local >= 0:
                        source[num_messages], target[num_messages] = local, position[node]
                        kind[num_messages] = edge_type[edge]
                        num_messages += 1
            else:  # a hub: look up the few members among its many neighbours instead
                for other in range(count):
                    edge = start + np.searchsorted(indices[start:end], members[sub, other])
                    while edge < end and indices[edge] == members[sub, other]:
                        source[num_messages], target[num_messages] = position[members[sub, other]], position[node]
                        kind[num_messages] = edge_type[edge]
                        num_messages += 1
                        edge += 1
        for at in range(count):
            position[members[sub, at]] = -1
    return nodes[:num_rows], subgraph[:num_rows], source[:num_messages], target[:num_messages], kind[:num_messages]


@compiled
def choose(count: int, wanted: int, state: np.uint64, picks: Array) -> None:
    """Choose `wanted` of `0 .. count - 1` uniformly without replacement; `wanted < count`.

    Cost is at most `min(count, wanted ** 2)`: Floyd's method (Bentley and Floyd, 1987, CACM 30(9)) where few are
    wanted, selection sampling (Knuth, TAOCP volume 2, algorithm 3.4.2 S) otherwise.
    """
    found = 0
    if wanted * wanted <= count:
        for upper in range(count - wanted, count):
            state = mix(state)
            pick = int((state >> np.uint64(11)) * (1.0 / 9007199254740992.0) * (upper + 1))
            for earlier in range(found):
                if picks[earlier] == pick:
                    pick = upper
                    break
            picks[found] = pick
            found += 1
        return
    for item in range(count):
        state = mix(state)
        if (state >> np.uint64(11)) * (1.0 / 9007199254740992.0) * (count - item) < wanted - found:
            picks[found] = item
            found += 1
            if found == wanted:
                return


@compiled
def sample_neighborhood(
    indptr: Array, indices: Array, edge_type: Array, seeds: Array, fanouts: Array, key: np.uint64, position: Array
) -> tuple[Array, Array, Array, Array]:
    """Grow one subgraph from the seeds, hop by hop; every node is expanded once, when it is first reached.

    The choice made at a node depends on `key` and the node alone.

    Args:
        indptr: `[num_nodes + 1]`.
        indices: `[num_edges]`.
        edge_type: `[num_edges]`.
        seeds: `[num_seeds]`, distinct.
        fanouts: `[num_hops]`: messages kept per node, -1 for all.
        key: Random key of this call.
        position: `[num_nodes]`, int32, all -1.

    Returns:
        `nodes` `[num_rows]`, seeds first, then `source`, `target` and `type` `[num_messages]`.
    """
    nodes = grown(seeds.copy(), 2 * seeds.size + 16)
    capacity = 16 * seeds.size + 16
    source, target, kind = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    picks = np.empty(max(fanouts.max(), 1), np.int64)
    for row in range(seeds.size):
        position[seeds[row]] = row
    num_rows, num_messages, first = seeds.size, 0, 0
    for hop in range(fanouts.size):
        last = num_rows
        for row in range(first, last):
            node = nodes[row]
            start, degree = indptr[node], indptr[node + 1] - indptr[node]
            taken = degree
            if 0 <= fanouts[hop] < degree:
                taken = fanouts[hop]
                choose(degree, taken, mix(key ^ mix(np.uint64(node))), picks)
            nodes = grown(nodes, num_rows + taken)
            room = num_messages + taken
            source, target, kind = grown(source, room), grown(target, room), grown(kind, room)
            for at in range(taken):
                edge = start + (at if taken == degree else picks[at])
                other = indices[edge]
                if position[other] < 0:
                    position[other] = num_rows
                    nodes[num_rows] = other
                    num_rows += 1
                source[num_messages], target[num_messages], kind[num_messages] = position[other], row, edge_type[edge]
                num_messages += 1
        first = last
    for row in range(num_rows):
        position[nodes[row]] = -1
    return nodes[:num_rows], source[:num_messages], target[:num_messages], kind[:num_messages]
