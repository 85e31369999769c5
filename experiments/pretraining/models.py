"""The models of the study by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control_models import best_of_smoothed, hop, ranker, smoothed, untrained
from model import Model
from trained_models import baseline, pretrained, supervised, supervised_on_links

from mmgraph.errors import unknown_choice
from mmgraph.tasks.controls import item_knn, popularity
from mmgraph.tasks.smoothing import SmoothedForm
from mmgraph.tasks.supervised import SupervisedConfig
from mmgraph.training.presets import unigraph2

MODELS: Mapping[str, Model] = {
    "raw": smoothed("raw features", hop(0)),
    "smoothed": smoothed("smoothed features", SmoothedForm((0, 1, 2), weights=(0.5, 1.0, 0.5))),
    **{f"smoothed-hop{number}": smoothed(f"smoothed, hop {number}", hop(number)) for number in (1, 2, 3)},
    "smoothed-concat2": smoothed("smoothed, concat 0-2", SmoothedForm((0, 1, 2), "concat")),
    "smoothed-concat3": smoothed("smoothed, concat 0-3", SmoothedForm((0, 1, 2, 3), "concat")),
    "best-smoothed": best_of_smoothed(),
    "popularity": ranker("popularity", popularity),
    "item-knn": ranker("item-knn", item_knn),
    "untrained": untrained("ours, untrained", random=False),
    "random-init": untrained("random init", random=True),
    **{name: baseline(name) for name in ("node2vec", "dgi", "grace", "bgrl", "graphmae", "graphmae2")},
    "unigraph2": pretrained("unigraph2, joint", "unigraph2", "joint", config=unigraph2(), family="baseline"),
    "supervised-mlp": supervised("mlp", SupervisedConfig(num_layers=0)),
    "supervised-sage": supervised("sage", SupervisedConfig()),
    "supervised-gat": supervised("gat", SupervisedConfig("gat")),
    "supervised-links": supervised_on_links(),
    "single": pretrained("ours, single", "ours", "single"),
    "joint": pretrained("ours, joint", "ours", "joint"),
    "leave-one-out": pretrained("ours, leave one out", "ours", "others"),
    "single-blend": pretrained("ours, single, blend", "ours", "single", level="blend"),
    "joint-blend": pretrained("ours, joint, blend", "ours", "joint", level="blend"),
    "single-hybrid": pretrained("ours, single, hybrid", "ours", "single", level="hybrid"),
    "single-all-levels": pretrained("ours, single, all levels", "ours", "single", level="all"),
    "joint-all-levels": pretrained("ours, joint, all levels", "ours", "joint", level="all"),
}
"""All models by the name that `--models` takes, in the order of the tables."""

GROUPS: Mapping[str, Sequence[str]] = {
    "all": list(MODELS),
    "controls": [name for name, model in MODELS.items() if model.family == "control"],
    "baselines": [name for name, model in MODELS.items() if model.family == "baseline"],
    "supervised": [name for name, model in MODELS.items() if model.family == "supervised"],
    "ours": [name for name, model in MODELS.items() if model.family == "ours"],
}
"""What `--models` also takes."""


def choose(names: Sequence[str]) -> dict[str, Model]:
    """Models and groups by name, each once, in the order of the tables.

    Raises:
        InputError: If a name is unknown.
    """
    for name in names:
        if name not in MODELS and name not in GROUPS:
            raise unknown_choice("model", name, [*GROUPS, *MODELS])
    wanted = {model for name in names for model in GROUPS.get(name, [name])}
    return {name: model for name, model in MODELS.items() if name in wanted}
