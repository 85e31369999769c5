"""Figures of a study, written beside its runs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results import comparable, load_rows, shown_metric

Curve = tuple[Sequence[float], Sequence[float], Sequence[float]]
"""x, mean and standard deviation."""


def sweep_curves(path: Path, title: str, panels: Mapping[str, Mapping[str, Curve]], x_label: str) -> None:
    """One panel per measure, one line per model, bands of one standard deviation.

    Args:
        path: PNG to write.
        title: Above all panels.
        panels: Curves by label, by title of the panel.
        x_label: Name of the horizontal axes.
    """
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.6), squeeze=False)
    for axis, (name, curves) in zip(axes[0], panels.items(), strict=True):
        for label, (x, mean, std) in curves.items():
            (line,) = axis.plot(x, mean, marker="o", markersize=3, label=label)
            low, high = ([m + sign * s for m, s in zip(mean, std, strict=True)] for sign in (-1, 1))
            axis.fill_between(x, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        axis.set(title=name, xlabel=x_label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("percent")
    axes[0][-1].legend(fontsize=8)
    _save(plt, figure, title, path)


def bars(path: Path, title: str, rows: Sequence[dict[str, Any]], models: Sequence[str]) -> None:
    """One group of bars per measure, one bar per model, whiskers of one standard deviation."""
    plt = _pyplot()
    by_key = {(row["model"], row["measure"]): row for row in rows}
    measures = list(dict.fromkeys(row["measure"] for row in rows if row["model"] in models))
    figure, axis = plt.subplots(figsize=(max(6.0, 1.6 * len(measures)), 3.8))
    width = 0.8 / max(1, len(models))
    for number, model in enumerate(models):
        found = [
            (place + (number - (len(models) - 1) / 2) * width, row["summary"][shown_metric(row)], row["label"])
            for place, measure in enumerate(measures)
            if (row := by_key.get((model, measure))) is not None
        ]
        if found:
            places, numbers, labels = zip(*found, strict=True)
            heights, whiskers = ([100 * one[key] for one in numbers] for key in ("mean", "std"))
            axis.bar(places, heights, width, yerr=whiskers, capsize=2, label=labels[0])
    axis.set_xticks(range(len(measures)), [measure.replace(" (", "\n(") for measure in measures], fontsize=8)
    axis.set_ylabel("percent")
    axis.grid(alpha=0.3, axis="y")
    axis.legend(fontsize=8)
    _save(plt, figure, title, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _save(plt: Any, figure: Any, title: str, path: Path) -> None:
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Bar charts of merged results: ours against some of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results"))
    parser.add_argument("--out", type=Path, required=True, help="figures go to its folder plots")
    default = ["raw", "best-smoothed", "random-init", "grace", "graphmae2", "unigraph2", "single", "joint"]
    parser.add_argument("--models", nargs="+", default=default)
    args = parser.parse_args()
    for path in sorted(args.results.glob("[!.]*.json")):
        rows, _ = comparable(load_rows(path))
        target = args.out / "plots" / f"{path.stem}-bars.png"
        bars(target, path.stem, rows, args.models)
        print(target)


if __name__ == "__main__":
    main()
