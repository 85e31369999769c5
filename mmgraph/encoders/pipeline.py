"""From a raw graph to a graph with features: each content encoded once, streamed to the cache, joined by node."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import torch
from torch import Tensor

from mmgraph.data.features import ModalityFeatures
from mmgraph.data.graph import MultimodalGraph
from mmgraph.data.quantised import DTYPES, FeatureType, with_dtype
from mmgraph.data.raw import RawGraph
from mmgraph.encoders.base import EncodedItems, ModalityEncoder
from mmgraph.encoders.cache import EncodingCache, content_key, default_cache_folder
from mmgraph.encoders.report import EncodingReport, ModalityReport
from mmgraph.engines.base import Engine
from mmgraph.engines.local import LocalEngine
from mmgraph.errors import InputError, first_few, unknown_choice
from mmgraph.progress import progress_bar

logger = logging.getLogger(__name__)


def encode_graph(
    raw: RawGraph,
    encoders: Mapping[str, ModalityEncoder],
    *,
    cache: Path | str | Literal[False] | None = None,
    batch_size: int = 64,
    progress: bool = True,
    dtype: FeatureType = "float32",
    engine: Engine | None = None,
) -> tuple[MultimodalGraph, EncodingReport]:
    """Encode the content of a graph.

    Equal contents are encoded once. Batches are formed by length and then by content, never by row, so shuffled
    rows give the same bits. Every batch is in the cache as soon as it is encoded: after a kill the next call
    encodes only the rest. An item that cannot be read is quarantined: its node counts as lacking the modality.

    Args:
        raw: Ids, contents and edges. `None`, an empty string and white space mean that a node lacks the modality.
        encoders: Encoder by modality; modalities without one stay unencoded.
        cache: Folder of encoded content; `default_cache_folder()` if `None`; `False` for no cache.
        batch_size: Items per batch.
        progress: Show a bar (on a terminal only).
        dtype: Type of the features: `float16` and `int8` (with a scale per row) are rounded from the float32 of the
            cache, so that a change of type encodes nothing again.
        engine: Where batches are encoded; in this process by default. Batches are the same on every engine, and so are the
            files of the cache, which are written here.

    Returns:
        The graph with features; its columns are those of `raw` and, per modality given as texts or paths, the text
        or path as a string, null where absent or quarantined.

    Raises:
        InputError: If an encoder fits no modality of the graph, an item has a wrong type (the message names the
            node), or the cache cannot be written.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    if dtype not in DTYPES:
        raise unknown_choice("dtype of features", dtype, DTYPES)
    for modality, encoder in encoders.items():
        if modality not in raw.content:
            raise unknown_choice(f"modality of graph {raw.name!r}", modality, raw.content)
        if encoder.spec.modality != modality:
            raise InputError(f"encoder {encoder.spec.encoder!r} is for {encoder.spec.modality}, not for {modality}")
    folder = None if cache is False else default_cache_folder() if cache is None else Path(cache)
    features: dict[str, ModalityFeatures] = {}
    report = EncodingReport()
    for modality in raw.content:
        if modality in encoders:
            job = _Job(raw, encoders[modality], engine or LocalEngine(), progress=progress)
            store = None if folder is None else EncodingCache(folder, encoders[modality])
            features[modality] = with_dtype(job.run(store, batch_size), dtype)
            report.modalities[modality] = job.report
    graph = MultimodalGraph(
        name=raw.name,
        node_ids=raw.node_ids,
        node_types=raw.node_types,
        node_type=raw.node_type,
        relations=raw.relations,
        features=features,
        columns=_columns(raw, features),
    )
    return graph, report


class _Job:
    """The encoding of one modality of one graph."""

    def __init__(self, raw: RawGraph, encoder: ModalityEncoder, engine: Engine, *, progress: bool) -> None:
        self.raw, self.encoder, self.engine, self.progress = raw, encoder, engine, progress
        self.items: Sequence[Any] = raw.content[encoder.spec.modality]
        self.report = ModalityReport(encoder.spec.encoder, encoder.fingerprint)
        self.rows: dict[bytes, list[int]] = {}
        self.values = torch.zeros(raw.num_nodes, encoder.spec.dim)
        self.present = torch.zeros(raw.num_nodes, dtype=torch.bool)

    def run(self, cache: EncodingCache | None, batch_size: int) -> ModalityFeatures:
        start = time.perf_counter()
        self._read_keys()
        missing = self._from_cache(cache, sorted(self.rows))
        self._encode(cache, missing, batch_size)
        report = self.report
        report.duplicates = int(self.present.sum()) - report.encoded - report.from_cache
        report.seconds = round(time.perf_counter() - start, 3)
        if report.quarantined:
            shown = first_few([f"{node}: {reason}" for node, reason in report.quarantined], 3)
            logger.warning(
                "graph %r: %d of %d %s items cannot be read and count as absent: %s",
                *(self.raw.name, len(report.quarantined), report.items, self.encoder.spec.modality, shown),
            )
        return ModalityFeatures(self.encoder.spec, self.values, self.present, self._mean())

    def _read_keys(self) -> None:
        """Read each item once for the key of its content; nothing of it is kept."""
        with self._bar("reading", len(self.items)) as advance:
            for row, item in enumerate(self.items):
                advance(1)
                if is_absent(item):
                    continue
                self.report.items += 1
                try:
                    key = content_key(self.encoder.content(item))
                except InputError as error:
                    where = f"graph {self.raw.name!r}, {self.encoder.spec.modality} of node {self.raw.node_ids[row]!r}"
                    raise InputError(f"{where}: {error}") from None
                except (OSError, UnicodeError) as error:
                    self._quarantine([row], _reason(error))
                else:
                    self.rows.setdefault(key, []).append(row)

    def _from_cache(self, cache: EncodingCache | None, keys: list[bytes]) -> list[bytes]:
        """Take what the cache has; return the keys it has not."""
        if cache is None:
            return keys
        missing = set(keys)
        for positions, vectors, truncated in cache.lookup(keys):
            found = [keys[position] for position in positions]
            self._store(found, vectors, truncated)
            self.report.from_cache += len(found)
            missing.difference_update(found)
        return [key for key in keys if key in missing]

    def _encode(self, cache: EncodingCache | None, keys: list[bytes], batch_size: int) -> None:
        # Longest first, so that a batch too large for memory fails at once; then by content.
        lengths = {key: self.encoder.sort_key(self._item(key)) for key in keys}
        keys = sorted(keys, key=lambda key: (-lengths[key], key))
        batches = [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
        shards = ([self._item(key) for key in batch] for batch in batches)
        results = self.engine.map(partial(_BatchEncoder, self.encoder), shards)
        with self._bar("encoding", len(keys)) as advance:
            for batch, (encoded, absent) in zip(batches, results, strict=True):
                self._check_shared(batch, absent)
                vectors = encoded.vectors
                truncated = torch.zeros(len(batch), dtype=torch.bool)
                truncated[list(encoded.truncated)] = True
                broken = dict(encoded.failed)
                for position in torch.nonzero(~torch.isfinite(vectors).all(dim=1)).flatten().tolist():
                    broken.setdefault(position, "the encoder gave NaN or infinity")
                for position, reason in broken.items():
                    self._quarantine(self.rows[batch[position]], reason)
                good = [position for position in range(len(batch)) if position not in broken]
                done = [batch[position] for position in good]
                if cache is not None:
                    cache.add(done, vectors[good], truncated[good])
                self._store(done, vectors[good], truncated[good])
                self.report.encoded += len(done)
                advance(len(batch))
        self.report.quarantined.sort(key=lambda entry: str(entry[0]))

    def _check_shared(self, batch: Sequence[bytes], absent: Sequence[int]) -> None:
        """Tell a file that a worker cannot see from a broken one, which would go missing without an error."""
        for position in absent:
            item = self._item(batch[position])
            try:
                self.encoder.content(item)
            except OSError:
                continue  # gone here as well: quarantined
            raise InputError(
                f"{item}: is here, but a worker does not find it; engine {self.engine.name} needs a file system that all "
                "workers share"
            )

    def _item(self, key: bytes) -> Any:
        return self.items[self.rows[key][0]]

    def _store(self, keys: list[bytes], vectors: Tensor, truncated: Tensor) -> None:
        counts = torch.tensor([len(self.rows[key]) for key in keys], dtype=torch.int64)
        rows = torch.tensor([row for key in keys for row in self.rows[key]], dtype=torch.int64)
        self.values[rows] = vectors.repeat_interleave(counts, dim=0)
        self.present[rows] = True
        self.report.truncated += int(counts[truncated].sum())

    def _quarantine(self, rows: Sequence[int], reason: str) -> None:
        self.report.quarantined += [(_plain(self.raw.node_ids[row]), reason) for row in rows]

    def _mean(self, chunk: int = 8192) -> Tensor:
        """Mean over present nodes `[dim]`, summed by content, so that the order of rows does not change a bit."""
        rows = torch.tensor([row for key in sorted(self.rows) for row in self.rows[key]], dtype=torch.int64)
        rows = rows[self.present[rows]]
        total = torch.zeros(self.encoder.spec.dim, dtype=torch.float64)
        for part in torch.split(rows, chunk):
            total += self.values[part].double().sum(dim=0)
        return (total / max(1, rows.numel())).float()

    @contextmanager
    def _bar(self, verb: str, total: int) -> Iterator[Any]:
        bar = progress_bar()
        bar.disable = bar.disable or not self.progress
        with bar:
            task = bar.add_task(f"{verb} {self.encoder.spec.modality} ({self.encoder.spec.encoder})", total=total)
            yield lambda count: bar.advance(task, count)


class _BatchEncoder:
    """Encodes one batch, in whatever process; also says which of the failed items are files that are not there."""

    def __init__(self, encoder: ModalityEncoder) -> None:
        self.encoder = encoder

    def __call__(self, items: Sequence[Any]) -> tuple[EncodedItems, tuple[int, ...]]:
        encoded = self.encoder.encode(items)
        absent = tuple(position for position, _ in encoded.failed if self._is_gone(items[position]))
        return replace(encoded, vectors=encoded.vectors.cpu()), absent

    def _is_gone(self, item: Any) -> bool:
        try:
            self.encoder.content(item)
        except FileNotFoundError:
            return True
        except (OSError, UnicodeError):
            pass
        return False


def is_absent(item: Any) -> bool:
    """Whether an item means that a node lacks the modality: `None`, or a string without a visible character."""
    return item is None or (isinstance(item, str) and not item.strip())


def _plain(node_id: Any) -> Any:
    return node_id if isinstance(node_id, str) else int(node_id)


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return f"not valid Unicode: {error.reason}" if isinstance(error, UnicodeEncodeError) else str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _columns(raw: RawGraph, features: Mapping[str, ModalityFeatures]) -> pa.Table | None:
    """The raw columns, and texts and paths of what is present."""
    table = raw.columns
    for modality, items in raw.content.items():
        if not all(item is None or isinstance(item, (str, Path)) for item in items):
            continue
        present = features[modality].present.tolist() if modality in features else [not is_absent(i) for i in items]
        strings = [str(item) if here else None for item, here in zip(items, present, strict=True)]
        column = pa.array([s if s is None or _encodable(s) else None for s in strings], pa.string())
        if table is None:
            table = pa.table({modality: column})
        elif modality in table.column_names:
            table = table.set_column(table.column_names.index(modality), modality, column)
        else:
            table = table.append_column(modality, column)
    return table


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
