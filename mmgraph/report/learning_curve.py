"""The course of a fine-tuning run as one picture."""

from __future__ import annotations

from pathlib import Path

from mmgraph.files import atomic_path
from mmgraph.finetuning.stopping import read_looks
from mmgraph.report.plots import HEIGHT, WIDTH, Series, line_chart
from mmgraph.training.tracking import read_metrics

_STYLE = """
  :root { --ink: #1c1f23; --rule: #d9dde3; --c0: #1f5fbf; --c1: #b4540a; --page: #ffffff; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6e8eb; --rule: #3a3f46; --c0: #86b3ff; --c1: #f2a65e; --page: #16181b; }
  }
  .page { fill: var(--page); } text { fill: var(--ink); font: 11px system-ui, sans-serif; }
  .grid { stroke: var(--rule); } .line { fill: none; stroke-width: 2; } .faint { opacity: .3; stroke-width: 1; }
  .c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); }
"""


def write_learning_curve(run: Path) -> Path:
    """Draw the training loss and the first validation metric of a run of `finetune` over its steps.

    Args:
        run: Run folder with `metrics.jsonl` and `validation.json`.

    Returns:
        `learning_curve.svg` in that folder.
    """
    looks = read_looks(run)
    metric = next(iter(looks[0]["metrics"]))
    valid = Series(metric, [look["step"] for look in looks], [look["metrics"][metric] for look in looks], 1, False)
    charts = [("valid", metric, valid)]
    if (run / "metrics.jsonl").exists() and (lines := read_metrics(run)):
        loss = Series("loss", [line["step"] + 1 for line in lines], [line["loss"] for line in lines])
        charts.insert(0, ("train", "loss", loss))
    parts = []
    for number, (split, name, series) in enumerate(charts):
        chart = line_chart([series], title=f"{split} {name}")
        sized = chart.replace("<svg ", f'<svg x="{number * WIDTH}" y="20" width="{WIDTH}" height="{HEIGHT}" ', 1)
        parts.append(f'<text x="{number * WIDTH + 46}" y="14">{name.replace("_", " ")} ({split})</text>{sized}')
    width, height = WIDTH * len(charts), HEIGHT + 20
    path = run / "learning_curve.svg"
    with atomic_path(path) as temporary:
        temporary.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
            f'<style>{_STYLE}</style><rect class="page" width="100%" height="100%"/>{"".join(parts)}</svg>\n',
            encoding="utf-8",
        )
    return path
