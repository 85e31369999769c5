from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgraph.config import config_digest, dump_yaml, from_mapping, load_yaml, save_yaml
from mmgraph.errors import InputError


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser.

    Attributes:
        lr: Learning rate.
        kind: Which one.
        clip: Largest norm.
        betas: Averages.
    """

    lr: float = 1e-3
    kind: Literal["adam", "sgd"] = "adam"
    clip: float | None = 1.0
    betas: tuple[float, ...] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise InputError(f"lr must be above 0, got {self.lr}")


@dataclass(frozen=True)
class RunConfig:
    """Run.

    Attributes:
        steps: How many.
        optim: How.
        weights: By name.
    """

    steps: int = 10
    optim: OptimConfig = field(default_factory=OptimConfig)
    weights: dict[str, float] = field(default_factory=dict)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.integers(-(10**9), 10**9),
    lr=st.floats(1e-12, 1e6, allow_nan=False),
    clip=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    betas=st.lists(st.floats(0, 1), max_size=4),
    weights=st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda t: t.isprintable()), st.floats(0, 9), max_size=3
    ),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    steps: int,
    lr: float,
    clip: float | None,
    betas: list[float],
    weights: dict[str, float],
) -> None:
    config = RunConfig(steps, OptimConfig(lr, "sgd", clip, tuple(betas)), weights)
    path = tmp_path_factory.mktemp("config") / "c.yaml"
    save_yaml(config, path)
    assert load_yaml(path, RunConfig) == config


def test_every_field_is_written_even_null() -> None:
    text = dump_yaml(RunConfig(optim=OptimConfig(clip=None)))
    assert "clip: null" in text
    assert "kind: adam" in text


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("optim: {lr: 1e-4}\n")
    assert load_yaml(path, RunConfig).optim.lr == 1e-4


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("# nothing\n")
    assert load_yaml(path, RunConfig) == RunConfig()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stepss: 3", ["unknown key 'stepss'", "steps"]),
        ("steps: x", ["key 'steps'", "expected int", "got x"]),
        ("steps: 1.5", ["key 'steps'", "expected int", "got 1.5"]),
        ("optim: {lrr: 3}", ["group 'optim'", "unknown key 'lrr'", "choose from: lr"]),
        ("optim: {lr: fast}", ["group 'optim'", "key 'lr'", "expected float", "got fast"]),
        ("optim: {kind: adamw}", ["group 'optim'", "key 'kind'", "'adam', 'sgd'", "got adamw"]),
        ("optim: {betas: [0.9, x]}", ["group 'optim'", "key 'betas'"]),
        ("optim: {lr: -1}", ["group 'optim'", "lr must be above 0, got -1"]),
        ("optim: 3", ["group 'optim'", "expected keys and values, got 3"]),
        ("optim:", ["group 'optim'", "expected keys and values"]),
        ("weights: {a: b}", ["key 'weights'", "expected float", "got b"]),
        ("steps: 1\nsteps: 2", ["line 2", "'steps' occurs twice"]),
        ("optim:\n  lr: 1\n  lr: 2", ["line 3", "'lr' occurs twice"]),
        ("- 1", ["expected a mapping", "got list"]),
        ("a: [", ["line 1"]),
        ("? [a]\n: 1", ["unhashable"]),
    ],
)
def test_errors_name_file_group_and_key(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_yaml(path, RunConfig)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for part in expected:
        assert part in message


def test_missing_file_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: file not found"):
        load_yaml(tmp_path / "none.yaml", RunConfig)
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.yaml"):
        load_yaml(path, RunConfig)


def test_digest_follows_values_and_type() -> None:
    config = RunConfig()
    assert config_digest(config) == config_digest(RunConfig(steps=10))
    assert config_digest(config) != config_digest(replace(config, steps=11))
    assert config_digest(config) != config_digest(replace(config, optim=OptimConfig(lr=2e-3)))
    assert config_digest(OptimConfig()) != config_digest(config)


def test_from_mapping_says_where() -> None:
    with pytest.raises(InputError, match="^flags: key 'steps'"):
        from_mapping(RunConfig, {"steps": "x"}, where="flags")


@dataclass(frozen=True)
class StagesConfig:
    """Stages.

    Attributes:
        stages: One after the other.
    """

    stages: tuple[OptimConfig, ...] = ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: [{lr: 0.1}, {rl: 0.1}]", r"^c: group 'stages\[1\]': unknown key 'rl'; choose from: lr, "),
        ("stages: [3]", r"^c: group 'stages\[0\]': expected keys and values, got 3$"),
        ("stages: [{lr: abc}]", r"^c: key 'stages': \"lr\": expected float, got abc$"),
        ("stages: [{lr: -1}]", r"^c: lr must be above 0, got -1"),
    ],
)
def test_lists_of_groups(text: str, message: str) -> None:
    import yaml

    with pytest.raises(InputError, match=message):
        from_mapping(StagesConfig, yaml.safe_load(text), where="c")
    good = from_mapping(StagesConfig, {"stages": [{"lr": 0.5}]})
    assert good == StagesConfig((OptimConfig(lr=0.5),))
