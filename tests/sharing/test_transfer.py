from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import mmgraph as mg
from mmgraph.errors import InputError, MissingExtraError
from mmgraph.files import file_digest
from mmgraph.nn.saving import encoder_digest
from mmgraph.sealed import sealed_json
from mmgraph.sharing.places import HubAddress, parse_address
from mmgraph.sharing.transfer import pull_model, push_model


@dataclass
class FakeHub:
    """Repositories as commits in memory, with the calls and answers of `huggingface_hub.HfApi`."""

    commits: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        assert repo_type == "model"
        assert exist_ok
        self.private.setdefault(repo_id, private)
        self.commits.setdefault(repo_id, [{".gitattributes": b"*.safetensors filter=lfs"}])

    def upload_folder(
        self,
        *,
        repo_id: str,
        repo_type: str,
        folder_path: str,
        allow_patterns: list[str],
        delete_patterns: list[str],
        commit_message: str,
    ) -> Any:
        added = {
            path.name: path.read_bytes()
            for path in Path(folder_path).iterdir()
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns)
        }
        before = self.commits[repo_id][-1]
        kept = {n: c for n, c in before.items() if not any(fnmatch(n, pattern) for pattern in delete_patterns)}
        self.commits[repo_id].append(kept | added)
        return SimpleNamespace(oid=f"c{len(self.commits[repo_id]) - 1}")

    def model_info(self, repo_id: str, *, revision: str | None, files_metadata: bool) -> Any:
        assert files_metadata
        if repo_id not in self.commits:
            raise OSError(f"404: {repo_id} not found\nmore of the answer")
        commits = self.commits[repo_id]
        number = len(commits) - 1 if revision is None else int(revision[1:])
        files = [SimpleNamespace(rfilename=name, size=len(content)) for name, content in commits[number].items()]
        return SimpleNamespace(sha=f"c{number}", siblings=files)

    def hf_hub_download(self, repo_id: str, filename: str, *, revision: str, local_dir: str) -> str:
        self.asked.append(filename)
        path = Path(local_dir) / filename
        (path.parent / ".cache").mkdir(parents=True)
        path.write_bytes(self.commits[repo_id][int(revision[1:])][filename])
        return str(path)


@pytest.fixture
def hub(places) -> FakeHub:
    fake = FakeHub()
    push_model(places.card, "hf://me/toy", api=fake)
    return fake


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_there_and_back_through_the_hub(places, hub: FakeHub, tmp_path: Path) -> None:
    assert hub.private == {"me/toy": True}
    out = pull_model("hf://me/toy", tmp_path / "model", api=hub)
    assert contents(out) == contents(places.card)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    graph = mg.load_graph(places.graph)
    before, after = (mg.embed(mg.load_model(folder), graph) for folder in (places.run, out))
    assert torch.equal(before.vectors, after.vectors)
    assert before.model == after.model


def test_there_and_back_through_a_folder(places, tmp_path: Path) -> None:
    target = tmp_path / "share" / "toy"
    assert push_model(places.card, target) == str(target)
    assert contents(pull_model(target, tmp_path / "model")) == contents(places.card)
    with pytest.raises(InputError, match="already exists"):
        push_model(places.card, target)
    with pytest.raises(InputError, match="already exists"):
        pull_model(target, tmp_path / "model")
    (target / "old.txt").write_text("gone after an overwrite")
    push_model(places.card, target, overwrite=True)
    assert contents(target) == contents(places.card)


def test_files_of_other_names_are_neither_pushed_nor_pulled(model: Path, hub: FakeHub, tmp_path: Path) -> None:
    (model / "train.py").write_text("raise SystemExit")
    (model / "evaluation").mkdir()
    push_model(model, "hf://me/other", api=hub)
    assert "train.py" not in hub.commits["me/other"][-1]
    hub.commits["me/other"][-1] |= {"modeling.py": b"raise SystemExit", "pytorch_model.bin": b"\x80"}
    out = pull_model("hf://me/other", tmp_path / "out", api=hub)
    assert set(hub.asked) == set(contents(out)) == {path.name for path in model.iterdir()} - {"train.py", "evaluation"}


def test_a_model_without_numbers_replaces_one_with(places, hub: FakeHub, tmp_path: Path) -> None:
    plain = mg.write_model_card(places.plain, tmp_path / "plain")
    assert "results.json" in hub.commits["me/toy"][-1]
    assert push_model(plain, "hf://me/toy", api=hub) == "hf://me/toy@c2"
    assert set(hub.commits["me/toy"][-1]) == {*contents(plain), ".gitattributes"}
    earlier = pull_model("hf://me/toy@c1", tmp_path / "earlier", api=hub)
    assert contents(earlier) == contents(places.card)


def test_only_files_of_the_manifest_are_taken(hub: FakeHub, tmp_path: Path) -> None:
    files = hub.commits["me/toy"][-1]
    manifest = json.loads(files["manifest.json"])
    del manifest["files"]["results.json"]
    files["manifest.json"] = sealed_json(manifest).encode()
    out = pull_model("hf://me/toy", tmp_path / "out", api=hub)
    assert "results.json" not in contents(out)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "results.json"])
@pytest.mark.parametrize("harm", ["other bytes", "shorter", "missing"])
def test_damage_is_noticed_and_nothing_is_left(hub: FakeHub, tmp_path: Path, name: str, harm: str) -> None:
    files = hub.commits["me/toy"][-1]
    content = files.pop(name)
    if harm != "missing":
        files[name] = content[:-1] + (b"\x01" if harm == "other bytes" else b"")
    with pytest.raises(InputError, match=f"^hf://me/toy.*{name}"):
        pull_model("hf://me/toy", tmp_path / "out", api=hub)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b.json", "evil.py", "..", "pytorch_model.bin"])
def test_a_manifest_cannot_name_other_places(hub: FakeHub, tmp_path: Path, name: str) -> None:
    files = hub.commits["me/toy"][-1]
    manifest = json.loads(files["manifest.json"])
    manifest["files"][name] = {"bytes": 4, "sha256": "0" * 64}
    files["manifest.json"] = sealed_json(manifest).encode()
    files[name] = b"evil"
    with pytest.raises(InputError, match="names files that no model has"):
        pull_model("hf://me/toy", tmp_path / "out", api=hub)
    assert name not in hub.asked
    assert list(tmp_path.iterdir()) == []


def test_links_are_refused(places, model: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (model / "README.md").unlink()
    (model / "README.md").symlink_to(secret)
    for move in (pull_model, push_model):
        with pytest.raises(InputError, match="found a link"):
            move(model, tmp_path / "out")
    weights = tmp_path / "weights"
    shutil.move(model / "model.safetensors", weights)
    (model / "model.safetensors").symlink_to(weights)
    with pytest.raises(InputError, match="expected a file"):
        mg.load_model(model)
    assert not (tmp_path / "out").exists()


def test_a_client_that_answers_with_another_place_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    hub.hf_hub_download = lambda *args, **kwargs: str(secret)  # type: ignore[method-assign]
    with pytest.raises(InputError, match="expected the file in"):
        pull_model("hf://me/toy", tmp_path / "out", api=hub)
    assert secret.read_text() == "secret"


def test_sizes_are_limited_before_anything_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at most 1,000 bytes"):
        pull_model("hf://me/toy", tmp_path / "out", max_bytes=1000, api=hub)
    assert "model.safetensors" not in hub.asked
    hub.commits["me/toy"][-1]["README.md"] = b"x" * (2**24 + 1)
    with pytest.raises(InputError, match="expected at most 16,777,216 bytes"):
        pull_model("hf://me/toy", tmp_path / "out", api=hub)


def test_a_pulled_model_runs_no_code(hub: FakeHub, tmp_path: Path) -> None:
    """Weights that are a pickle in disguise are no safetensors, even with a manifest that fits them."""
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "ran").touch, ())

    content = pickle.dumps(Bomb())
    place = tmp_path / "weights"
    place.write_bytes(content)
    files = hub.commits["me/toy"][-1]
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["model.safetensors"] = {"bytes": len(content), "sha256": file_digest(place)}
    files |= {"model.safetensors": content, "manifest.json": sealed_json(manifest).encode()}
    with pytest.raises(InputError, match=r"model.safetensors: the file was changed"):
        pull_model("hf://me/toy", tmp_path / "out", api=hub)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_the_digest_that_the_author_told_is_compared_with_the_weights(places, hub: FakeHub, tmp_path: Path) -> None:
    digest = encoder_digest(mg.load_model(places.card))
    pull_model("hf://me/toy", tmp_path / "right", digest=digest[:12], api=hub)
    files = hub.commits["me/toy"][-1]
    manifest = json.loads(files["manifest.json"])
    files["manifest.json"] = sealed_json({**manifest, "model": "abcdef12" + "0" * 56}).encode()
    with pytest.raises(InputError, match="expected model abcdef12, found"):
        pull_model("hf://me/toy", tmp_path / "wrong", digest="abcdef12", api=hub)
    with pytest.raises(InputError, match="8 to 64 hexadecimal"):
        pull_model("hf://me/toy", tmp_path / "wrong", digest="abc", api=hub)
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    "text", ["hf://owner", "hf://a/b/c", "hf://../x", "hf://a/..", "http://a/b", "hf://a/b@", "hf://"]
)
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(InputError, match="expected a folder, hf://owner/name"):
        parse_address(text)


def test_right_addresses() -> None:
    assert parse_address("hf://me/toy-1.0") == HubAddress("me/toy-1.0")
    assert parse_address("hf://me/toy@v1") == HubAddress("me/toy", "v1")
    assert parse_address("models/toy") == Path("models/toy")


def test_errors_of_the_hub_are_one_line(places, hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^hf://me/nothing: 404: me/nothing not found more of the answer$"):
        pull_model("hf://me/nothing", tmp_path / "out", api=hub)
    with pytest.raises(InputError, match="default branch"):
        push_model(places.card, "hf://me/toy@v1", api=hub)
    hub.commits["me/empty"] = [{"README.md": b"", "pytorch_model.bin": b""}]
    with pytest.raises(InputError, match="lacks 'manifest.json'"):
        pull_model("hf://me/empty", tmp_path / "out", api=hub)


def test_errors_of_the_transport_are_told(places, hub: FakeHub, tmp_path: Path) -> None:
    errors = pytest.importorskip("huggingface_hub.errors")
    (transport,) = [base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"]

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise transport("[Errno 111] Connection refused")

    hub.model_info = refuse  # type: ignore[method-assign]
    with pytest.raises(InputError, match="^hf://me/toy: .*Connection refused$"):
        pull_model("hf://me/toy", tmp_path / "out", api=hub)
    hub.create_repo = refuse  # type: ignore[method-assign]
    with pytest.raises(InputError, match="^hf://me/toy: .*Connection refused$"):
        push_model(places.card, "hf://me/toy", api=hub)


def test_what_is_no_model_folder_is_not_pushed(places, hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mmgraph card --run"):
        push_model(places.run, "hf://me/run", api=hub)
    with pytest.raises(InputError, match="no manifest.json"):
        push_model(places.run / "model", "hf://me/run", api=hub)
    with pytest.raises(InputError, match="found nothing"):
        pull_model(tmp_path / "nothing", tmp_path / "out")
    assert "me/run" not in hub.commits


def test_the_client_is_imported_only_for_the_hub(places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    push_model(places.card, tmp_path / "share")
    with pytest.raises(MissingExtraError, match=r"mmgraph\[hub\]"):
        push_model(places.card, "hf://me/toy")


def test_the_real_client_has_these_calls() -> None:
    import inspect

    client = pytest.importorskip("huggingface_hub").HfApi
    for name in ("create_repo", "upload_folder", "model_info", "hf_hub_download"):
        wanted = set(inspect.signature(getattr(FakeHub, name)).parameters)
        assert wanted <= set(inspect.signature(getattr(client, name)).parameters)
