from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmgraph.errors import InputError
from mmgraph.nn.encoder import EncoderConfig, GraphEncoder
from mmgraph.nn.gnn import GNNConfig
from mmgraph.nn.moe import MoEConfig
from mmgraph.nn.saving import encoder_digest, load_encoder, load_extra, save_encoder
from mmgraph.sealed import sealed_json
from mmgraph.testing.factories import randomise


@pytest.fixture
def encoder(make_features) -> GraphEncoder:
    config = EncoderConfig(dim=16, moe=MoEConfig(num_experts=3), gnn=GNNConfig(conv="sage", num_layers=2))
    return randomise(GraphEncoder(config, [item.spec for item in make_features().values()]))


def test_round_trip(encoder: GraphEncoder, make_features, tmp_path: Path) -> None:
    features, edge_index = make_features(), torch.randint(30, (2, 90))
    save_encoder(encoder, tmp_path / "model", extra={"graphs": ["shop"], "step": 3})
    state = torch.get_rng_state()
    loaded = load_encoder(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), state)
    assert (loaded.config, loaded.specs, loaded.training) == (encoder.config, encoder.specs, False)
    assert encoder_digest(loaded) == encoder_digest(encoder)
    assert load_extra(tmp_path / "model") == {"graphs": ["shop"], "step": 3}
    assert torch.equal(loaded(features, edge_index).embedding, encoder.eval()(features, edge_index).embedding)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((tmp_path / "model" / "config.json").read_text())["digest"] == encoder_digest(encoder)


def test_digest_changes_with_weights_and_config(encoder: GraphEncoder) -> None:
    before = encoder_digest(encoder)
    with torch.no_grad():
        encoder.fusion.tokens[0, 0] += 1e-3
    assert encoder_digest(encoder) != before
    without = GraphEncoder(EncoderConfig(dim=16, gnn=encoder.config.gnn, moe=MoEConfig(num_experts=0)), encoder.specs)
    other = GraphEncoder(replace(without.config, moe=MoEConfig(num_experts=0, balance_weight=1.0)), encoder.specs)
    other.load_state_dict(without.state_dict())
    assert encoder_digest(without) != encoder_digest(other)


def test_existing_folder_is_kept_unless_asked(encoder: GraphEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path / "model")
    with pytest.raises(InputError, match="already exists"):
        save_encoder(encoder, tmp_path / "model")
    save_encoder(encoder, tmp_path / "model", extra={"second": True}, overwrite=True)
    assert load_extra(tmp_path / "model") == {"second": True}


def test_weights_of_another_config_are_refused(encoder: GraphEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["config"]["gnn"]["num_layers"] = 3
    path.write_text(sealed_json(config))
    with pytest.raises(InputError, match="weights do not fit config.json in 'gnn.layers.2"):
        load_encoder(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "expected a model of format 'mmgraph.encoder'"),
        ({"version": 99}, "expected version 2, got 99"),
        ({"config": {"dim": 16}}, "expected the configuration of an encoder, got: 'moe'"),
        ({"specs": [{"modality": "text"}]}, "expected the configuration of an encoder"),
        ({"specs": [{"modality": "text", "encoder": "fake", "dim": 0}]}, "dim must be at least 1"),
    ],
)
def test_broken_config(encoder: GraphEncoder, tmp_path: Path, change: dict, message: str) -> None:
    save_encoder(encoder, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(sealed_json(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        load_encoder(tmp_path / "model")


def test_broken_or_missing_files(encoder: GraphEncoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file not found"):
        load_encoder(tmp_path / "nothing")
    save_encoder(encoder, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match=r"model.safetensors: the file was changed: .*\(config.json\)"):
        load_encoder(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    del config["weights"]  # as an earlier version wrote it
    (tmp_path / "model" / "config.json").write_text(sealed_json(config))
    with pytest.raises(InputError, match="expected safetensors"):
        load_encoder(tmp_path / "model")
    save_file({"other": torch.zeros(1)}, weights)
    with pytest.raises(InputError, match="weights do not fit"):
        load_encoder(tmp_path / "model")
    weights.unlink()
    with pytest.raises(InputError, match="file not found"):
        load_encoder(tmp_path / "model")
