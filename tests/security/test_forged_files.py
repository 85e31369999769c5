"""Files whose digests are right and whose content is not, as fuzzers found them: refused in one line that names the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmgraph.errors import InputError
from mmgraph.testing.readers import READERS
from mmgraph.testing.run_readers import RUN_READERS
from mmgraph.training.checkpoint import Checkpoint


def forge_json(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return forge


def forge_array(name: str, values: list[int]) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        array = np.load(folder / name)
        array[: len(values)] = values
        np.save(folder / name, array)

    return forge


def record(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = content["records"][0]
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("reader", "forge", "message"),
    [
        ("finetuned", forge_json("validation.json", lambda c: c.pop("looks")), "validation.json: .* no 'looks'"),
        ("finetuned", forge_json("validation.json", lambda c: c.update(looks=3.5)), "validation.json: "),
        ("finetuned", forge_json("validation.json", lambda c: c["looks"][0].update(step="x")), "validation.json: "),
        ("finetuned", forge_json("validation.json", lambda c: c["looks"][1].update(score=None)), "validation.json: "),
        ("adjacency", forge_json("csr.json", lambda c: c.pop("indices")), "an adjacency, got: no 'indices'"),
        ("adjacency", forge_array("indices.npy", [67_108_866]), "expected sources among the 12 nodes"),
        ("adjacency", forge_array("indices.npy", [-1]), "expected sources among the 12 nodes"),
        ("adjacency", forge_array("indptr.npy", [0, 9, 3]), "expected offsets that rise from 0"),
        ("adjacency", forge_array("edge_type.npy", [-1]), "expected types that are not negative"),
        ("card", forge_json("evaluation/toy.json", lambda c: record(c).pop("digest")), "no 'digest'"),
        ("card", forge_json("env.json", lambda c: c["graphs"][0]["summary"].pop("node_types")), "no 'node_types'"),
        ("card", forge_json("env.json", lambda c: c.update(versions=3)), "the records of a run"),
        (
            "dataset",
            forge_json("dataset.json", lambda c: c.update(files=None)),
            "dataset.json: expected options by name",
        ),
        ("dataset", forge_json("dataset.json", lambda c: c["files"].update(a="x")), "dataset.json: expected a number"),
        (
            "tasks",
            forge_json("tasks/likes/task.json", lambda c: c["settings"].update(relation=[])),
            "relation = .*no text",
        ),
        ("tasks", forge_json("tasks/queries/task.json", lambda c: c["settings"].update(modality=None)), "no text"),
        ("truth", forge_json("synthetic.json", lambda c: c.update(kind=[])), "expected a synthetic graph"),
    ],
)
def test_forged_files(reader: str, forge: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "forged"
    READERS[reader].make(folder)
    READERS[reader].read(folder)
    forge(folder)
    sign = READERS[reader].sign
    assert sign is not None
    sign(folder)
    with pytest.raises(InputError, match=message) as error:
        READERS[reader].read(folder)
    assert len(str(error.value).splitlines()) == 1


def moments(state: dict[str, Any], **values: Any) -> None:
    state["state"][0].update(values)


@pytest.mark.parametrize(
    "forge",
    [
        lambda state: state["state"][0].pop("exp_avg"),
        lambda state: moments(state, exp_avg=torch.zeros(1)),
        lambda state: moments(state, exp_avg_sq=torch.zeros(2, 3, dtype=torch.int8)),
        lambda state: moments(state, step=True),
        lambda state: state["param_groups"][0].pop("betas"),
        lambda state: state["param_groups"][0].update(capturable=True),
        lambda state: state["param_groups"][0].update(lr="1"),
        lambda state: state["param_groups"][0].update(lr=float("nan")),
    ],
)
def test_forged_states_of_an_optimiser(forge: Callable[[dict[str, Any]], object]) -> None:
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint = Checkpoint.of(1, {"head": module}, optimizer, digest="d")
    checkpoint.restore({"head": module}, optimizer)
    forge(checkpoint.optimizer)
    with pytest.raises(InputError, match="^checkpoint: expected the state of these modules and this optimiser, got: "):
        checkpoint.restore({"head": module}, optimizer)


def test_a_card_takes_no_settings_that_were_changed(tmp_path: Path) -> None:
    RUN_READERS["card"].make(tmp_path / "run")
    with (tmp_path / "run" / "config.yaml").open("a") as file:
        file.write("# seed: 3\n")
    with pytest.raises(InputError, match="config.yaml: the file was changed"):
        RUN_READERS["card"].read(tmp_path / "run")
