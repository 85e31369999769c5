"""Models to and from other places: a folder, or a repository of the Hugging Face Hub.

What comes from a stranger is data: only files of known names are fetched, they must match the digests and sizes of the
manifest beside them, and the model is built from JSON and safetensors. Nothing is unpickled, imported or run.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mmgraph.errors import InputError, first_few
from mmgraph.files import atomic_folder, read_json
from mmgraph.nn.saving import encoder_digest, load_encoder
from mmgraph.sharing.places import (
    CARD,
    HUB,
    KNOWN,
    NEEDED,
    Hub,
    ModelFolder,
    ModelRepository,
    check_size,
    connect,
    explained,
    parse_address,
)
from mmgraph.training.loading import MANIFEST, check_files, is_model_folder, read_model_manifest


def push_model(
    model: Path | str, to: str | Path, *, private: bool = True, overwrite: bool = False, api: Hub | None = None
) -> str:
    """Put a model folder somewhere else, after its digests were compared.

    Args:
        model: Folder made by `write_model_card` or `pull_model`.
        to: A path, or `hf://owner/name`. The hub takes the key of `hf auth login` or `$HF_TOKEN`.
        private: Whether a new repository is visible to its owner only. One that exists stays as it is.
        overwrite: Replace a folder that exists. A repository gets a new commit in any case.
        api: Client of the hub; made by `huggingface_hub` if not given.

    Returns:
        Where it is now: the path, or the address with the commit.

    Raises:
        InputError: If the folder is no model, a file has changed, or the place exists.
        MissingExtraError: If `huggingface_hub` is needed and missing.
    """
    model, target = Path(model), parse_address(str(to))
    files = check_model(model)
    if isinstance(target, Path):
        with atomic_folder(target, overwrite=overwrite) as folder:
            for name in files:
                shutil.copyfile(model / name, folder / name)
            check_files(folder, read_model_manifest(folder))
        return str(target)
    if target.revision is not None:
        raise InputError(f"{to}: a model is pushed to the default branch; leave @{target.revision} away")
    api = api or connect()
    with explained(target):
        api.create_repo(target.repo, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=target.repo,
            repo_type="model",
            folder_path=str(model),
            allow_patterns=files,
            delete_patterns=list(KNOWN),  # what an earlier model had and this one has not
            commit_message=f"Add model {str(read_json(model / MANIFEST).get('model'))[:12]}",
        )
    return f"{HUB}{target.repo}@{commit.oid}"


def pull_model(
    source: str | Path,
    out: Path | str,
    *,
    digest: str | None = None,
    overwrite: bool = False,
    max_bytes: int = 2**33,
    api: Hub | None = None,
) -> Path:
    """Fetch a model folder; it appears under `out` only if everything in it is right.

    The files of a repository all come from one commit. Files of other names stay where they are.

    Args:
        source: A path, `hf://owner/name` or `hf://owner/name@revision`.
        out: Folder to write.
        digest: Digest of the model, or its first digits (at least eight), as its author told it. The manifest is fetched
            from the same place as the weights: it shows damage, but not that somebody put another model there.
        overwrite: Replace a folder that exists.
        max_bytes: Refuse larger weights.
        api: Client of the hub; made by `huggingface_hub` if not given.

    Raises:
        InputError: If something is missing, too large, a link, changed, another model, or no model of this version.
        MissingExtraError: If `huggingface_hub` is needed and missing.
    """
    out, place = Path(out), parse_address(str(source))
    if digest is not None and not re.fullmatch("[0-9a-f]{8,64}", digest):
        raise InputError(f"digest: expected 8 to 64 hexadecimal digits, got {digest!r}")
    if out.exists() and not overwrite:
        raise InputError(f"{out} already exists; give another folder or ask to overwrite it")
    with atomic_folder(out, overwrite=overwrite) as folder:
        taken = ModelFolder(place) if isinstance(place, Path) else ModelRepository(place, api or connect())
        try:
            _take(taken, folder, str(source), max_bytes)
            check_model(folder)
        except InputError as error:  # the reader knows where the model is from, not the temporary folder
            raise InputError(str(error).replace(str(folder), str(source))) from error
        if digest is not None and not (found := encoder_digest(load_encoder(folder))).startswith(digest):
            raise InputError(f"{source}: expected model {digest}, found {found}")
    return out


def check_model(folder: Path) -> list[str]:
    """Check that a folder is a whole model: files, digests, and weights that fit the configuration.

    Returns:
        Names of its files.

    Raises:
        InputError: Names what is wrong.
    """
    if not folder.is_dir() or not is_model_folder(folder):
        raise InputError(f"{folder}: expected a model folder; make one with: mmgraph card --run RUN")
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: no {MANIFEST}, by which files are checked; make the folder with: mmgraph card")
    files = read_model_manifest(folder)
    if unknown := sorted(set(files) - set(KNOWN)):
        raise InputError(f"{folder / MANIFEST}: names files that no model has: {first_few(unknown)}")
    if missing := [name for name in NEEDED if name not in files]:
        raise InputError(f"{folder / MANIFEST}: expected {first_few(NEEDED)}, lacks {first_few(missing)}")
    check_files(folder, files)
    if (folder / CARD).is_symlink():
        raise InputError(f"{folder / CARD}: expected a file, found a link")
    load_encoder(folder)
    return sorted({*files, MANIFEST, *([CARD] if (folder / CARD).is_file() else [])})


def _take(source: ModelFolder | ModelRepository, folder: Path, where: str, max_bytes: int) -> None:
    """The manifest first, then the files that it names, and the card if there is one."""
    sizes = source.sizes()
    if missing := [name for name in (MANIFEST, *NEEDED) if name not in sizes]:
        raise InputError(f"{where}: lacks {first_few(missing)}; it is no model folder that mmgraph card or push made")
    check_size(where, MANIFEST, sizes[MANIFEST], max_bytes)
    source.fetch(MANIFEST, folder)
    named = read_model_manifest(folder)
    for name in KNOWN:
        if name in sizes and (name in named or name == CARD):
            check_size(where, name, sizes[name], max_bytes)
            source.fetch(name, folder)
            check_size(where, name, (folder / name).stat().st_size, max_bytes)
