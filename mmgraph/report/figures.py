"""Figures for notebooks: a map of embeddings, and the course of a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmgraph.errors import InputError, first_few, require, unknown_choice
from mmgraph.finetuning.finetune import FinetuneRun, is_finetune_run
from mmgraph.finetuning.stopping import read_looks
from mmgraph.inference.table import EmbeddingTable
from mmgraph.report.map import project
from mmgraph.report.plots import running_mean
from mmgraph.seeding import generator
from mmgraph.training.pretrain import PretrainRun
from mmgraph.training.tracking import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
"""Colours that most colour-blind people can tell apart (Okabe and Ito, 2008)."""
OTHER, ABSENT = "#9a9a9a", "#dddddd"


def plot_map(
    table: EmbeddingTable,
    colour: str | Mapping[Any, Any] = "type",
    *,
    limit: int = 2000,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw nodes on a plane, near where their neighbours are: unit length, PCA, t-SNE, see `mmgraph.report.map`.

    Distances between far groups and sizes of groups mean nothing.

    Args:
        table: The embeddings.
        colour: `type`, the name of a column, or values by id. Up to eight most common values get a colour, numbers a scale.
        limit: Draw so many nodes, chosen at random; t-SNE takes seconds for some thousand.
        seed: Seed of the choice and of t-SNE.
        ax: Where to draw; a new figure by default.

    Returns:
        The axes; a notebook shows their figure by itself.

    Raises:
        InputError: If there is no such column, or an id with a value is unknown.
        MissingExtraError: If matplotlib is missing.
    """
    plt = require("matplotlib.pyplot", extra="demo")
    if limit < 1:
        raise InputError(f"plot_map: limit must be at least 1, got {limit}")
    values = _values(table, colour)
    rows = torch.arange(len(table))
    if len(table) > limit:
        rows = torch.randperm(len(table), generator=generator(seed, "map"))[:limit].sort().values
    points = project(table.vectors[rows.to(table.vectors.device)].numpy(force=True), seed=seed)
    shown = [values[row] for row in rows.tolist()]
    ax = ax or plt.subplots(figsize=(7, 5), layout="constrained")[1]
    if _is_scale(shown):
        _draw_scale(ax, points, shown, colour if isinstance(colour, str) else "")
    else:
        _draw_groups(ax, points, shown)
    ax.set(xticks=[], yticks=[], title=f"{table.graph}: {len(shown):,} of {len(table):,} nodes")
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def plot_curves(run: PretrainRun | FinetuneRun | Path | str) -> Sequence[Axes]:
    """Draw what a training logged: losses, faint, under their running means; for fine-tuning also the valid metrics.

    Args:
        run: A run of `pretrain` or `finetune`, or its folder. It may still be going on.

    Returns:
        One axes per panel: the whole loss, then each objective with one line per graph, or each valid metric.

    Raises:
        InputError: If the folder holds no run.
        MissingExtraError: If matplotlib is missing.
    """
    plt = require("matplotlib.pyplot", extra="demo")
    folder = Path(run) if isinstance(run, Path | str) else run.folder
    tuned = is_finetune_run(folder)
    panels = _loss_panels([] if tuned and not (folder / "metrics.jsonl").exists() else read_metrics(folder))
    looks = _valid_panels(folder) if tuned else {}
    if not panels and not looks:
        raise InputError(f"{folder}: nothing was logged yet")
    columns = min(3, len(panels) + len(looks))
    rows = -(-(len(panels) + len(looks)) // columns)
    _, grid = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.7 * rows), squeeze=False, layout="constrained")
    axes = list(grid.flat)
    for ax, (name, lines) in zip(axes, [*panels.items(), *looks.items()], strict=False):
        for number, (label, line) in enumerate(lines.items()):
            style = COLOURS[number % len(COLOURS)]
            x, y = zip(*line, strict=True)
            if name in looks:
                ax.plot(x, y, color=style, marker="o", markersize=3)
                continue
            # A single point is no line.
            ax.plot(x, y, color=style, alpha=0.3, linewidth=1, marker="o" if len(line) == 1 else None)
            ax.plot(*zip(*running_mean(line), strict=True), color=style, label=label)
        ax.set(title=name.replace("_", " "), xlabel="step")
        ax.grid(alpha=0.3)
        if len(lines) > 1:
            ax.legend(fontsize=8)
    used = len(panels) + len(looks)
    for ax in axes[used:]:
        ax.remove()
    return axes[:used]


def _values(table: EmbeddingTable, colour: str | Mapping[Any, Any]) -> list[Any]:
    """One value per row of the table, `None` where there is none; joined by id."""
    if isinstance(colour, Mapping):
        values: list[Any] = [None] * len(table)
        for position, value in zip(table.positions(list(colour)).tolist(), colour.values(), strict=True):
            values[position] = value
        return values
    if colour == "type":
        return list(table.types)
    names = [] if table.columns is None else table.columns.column_names
    if table.columns is None or colour not in names:
        raise unknown_choice("column", colour, ["type", *names])
    values = table.columns[colour].to_pylist()
    if any(isinstance(value, list | dict) for value in values):
        raise InputError(f"column {colour!r}: expected one value per node, got {first_few(values, 1)}")
    return values


def _is_scale(values: Sequence[Any]) -> bool:
    present = {value for value in values if value is not None}
    return len(present) > len(COLOURS) and all(isinstance(v, Real) and not isinstance(v, bool) for v in present)


def _draw_scale(ax: Axes, points: np.ndarray, values: Sequence[Any], name: str) -> None:
    present = np.array([value is not None for value in values])
    ax.scatter(points[~present, 0], points[~present, 1], s=6, color=ABSENT, linewidths=0)
    numbers = np.array([float(value) for value in values if value is not None])
    drawn = ax.scatter(points[present, 0], points[present, 1], s=8, c=numbers, cmap="viridis", linewidths=0)
    ax.figure.colorbar(drawn, ax=ax, label=name, shrink=0.7)


def _draw_groups(ax: Axes, points: np.ndarray, values: Sequence[Any]) -> None:
    counts = Counter(str(value) for value in values if value is not None)
    # Equally common ones in alphabetical order: the same nodes give the same colours.
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    named = ranked if len(ranked) <= len(COLOURS) else ranked[: len(COLOURS) - 1]
    groups = np.array([-1 if v is None else named.index(str(v)) if str(v) in named else len(named) for v in values])
    layers = [(-1, "none", ABSENT), (len(named), f"{len(ranked) - len(named)} others", OTHER)]
    layers += [(number, name, COLOURS[number]) for number, name in enumerate(named)]
    for number, name, style in layers:
        inside = points[groups == number]
        if len(inside):
            ax.scatter(inside[:, 0], inside[:, 1], s=8, color=style, linewidths=0, label=f"{name} ({len(inside):,})")
    handles, labels = ax.get_legend_handles_labels()
    first = len(handles) - len(named)
    order = [*range(first, len(handles)), *reversed(range(first))]
    ax.legend(
        [handles[i] for i in order],
        [labels[i].replace("$", r"\$") for i in order],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        markerscale=2.5,
        fontsize=9,
    )


def _loss_panels(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        for key, value in row.items():
            graph, _, objective = key.removeprefix("domain/").rpartition("/")
            if not isinstance(value, Real) or not (key == "loss" or key.startswith("domain/")):
                continue
            line = panels.setdefault(objective or key, {}).setdefault(graph or "loss", [])
            line.append((row["step"] + 1, float(value)))
    return panels


def _valid_panels(folder: Path) -> dict[str, dict[str, list[tuple[float, float]]]]:
    looks = read_looks(folder) if (folder / "validation.json").exists() else []
    names = list(looks[0]["metrics"])[:3] if looks else []
    return {f"valid {name}": {name: [(look["step"], look["metrics"][name]) for look in looks]} for name in names}
