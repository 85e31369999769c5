"""The forms of a table as a picture: size against recall."""

from __future__ import annotations

from pathlib import Path

from mmgraph.compression.measure import CompressionReport
from mmgraph.errors import require
from mmgraph.files import atomic_path

COLOURS = {"best": "#1b6ca8", "other": "#9aa5b1"}


def plot_forms(report: CompressionReport, path: Path) -> None:
    """Draw bytes per vector (logarithmic) against recall as PNG; a line joins the forms that no other one beats.

    Args:
        report: What was measured.
        path: File to write.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require("matplotlib", extra="demo")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    front = sorted((r for r in report.records if r.best), key=lambda r: (r.bytes_per_vector, r.recall))
    sizes, recalls = [r.bytes_per_vector for r in front], [r.recall for r in front]
    axes.plot(sizes, recalls, color=COLOURS["best"], linewidth=1)
    for record in report.records:
        colour = COLOURS["best" if record.best else "other"]
        size = record.bytes_per_vector
        axes.errorbar([size], [record.recall], yerr=[record.interval], fmt="o", color=colour, capsize=2)
        axes.annotate(record.form, (size, record.recall), xytext=(5, -10), textcoords="offset points", fontsize=8)
    axes.set_xscale("log", base=2)
    ticks = sorted({record.bytes_per_vector for record in report.records})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], rotation=90, fontsize=8)
    axes.minorticks_off()
    axes.set_xlabel("bytes per vector")
    axes.set_ylabel(f"recall@{report.k} of the exact neighbours")
    axes.set_title(f"{report.graph}: {report.count:,} vectors of {report.dim} dimensions", fontsize=10)
    axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
