"""Where model folders lie: on this machine, or in a repository of the Hugging Face Hub."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmgraph.errors import InputError, require
from mmgraph.sharing.model_card import RESULTS
from mmgraph.training.loading import MANIFEST

CARD = "README.md"
NEEDED = ("config.json", "model.safetensors")
KNOWN = (CARD, MANIFEST, RESULTS, *NEEDED)
"""All files of a model folder. Others are neither pushed nor pulled."""
MAX_TEXT_BYTES = 2**24
"""Largest size of a file other than the weights."""
HUB = "hf://"


class Hub(Protocol):
    """What is used of `huggingface_hub.HfApi`."""

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> Any:
        """Make a repository, or find it."""

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
        """Commit the files of a folder; the answer has `oid`."""

    def model_info(self, repo_id: str, *, revision: str | None, files_metadata: bool) -> Any:
        """`sha` of the commit, and `siblings` with `rfilename` and `size`."""

    def hf_hub_download(self, repo_id: str, filename: str, *, revision: str, local_dir: str) -> str:
        """Fetch one file of one commit; its path."""


@dataclass(frozen=True)
class HubAddress:
    """A repository of the hub.

    Attributes:
        repo: `owner/name`.
        revision: Branch, tag or commit; `None` for the default branch.
    """

    repo: str
    revision: str | None = None


def parse_address(text: str) -> HubAddress | Path:
    """Read `hf://owner/name`, `hf://owner/name@revision`, or a path.

    Raises:
        InputError: If it looks like an address and is none that is known.
    """
    if "://" not in text:
        return Path(text)
    found = re.fullmatch(r"hf://([\w][\w.-]*/[\w][\w.-]*)(?:@([\w][\w./-]*))?", text, re.ASCII)
    if found is None or ".." in text:
        raise InputError(f"{text}: expected a folder, hf://owner/name or hf://owner/name@revision")
    return HubAddress(found[1], found[2])


class ModelFolder:
    """A model folder on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sizes(self) -> dict[str, int | None]:
        """Size of each file of the model."""
        if not self.path.is_dir():
            raise InputError(
                f"{self.path}: expected a model folder, found {'a file' if self.path.exists() else 'nothing'}"
            )
        return {name: path.stat().st_size for name in KNOWN if (path := self.path / name).is_file()}

    def fetch(self, name: str, folder: Path) -> None:
        """Copy a file; a link is refused."""
        if (self.path / name).is_symlink():
            raise InputError(f"{self.path / name}: expected a file, found a link")
        shutil.copyfile(self.path / name, folder / name)


class ModelRepository:
    """One commit of a repository of the hub."""

    def __init__(self, address: HubAddress, api: Hub) -> None:
        self.address = address
        self.api = api
        self.commit = ""

    def sizes(self) -> dict[str, int | None]:
        """Size of each file of the model, as the hub tells it; chooses the commit."""
        with explained(self.address):
            info = self.api.model_info(self.address.repo, revision=self.address.revision, files_metadata=True)
        self.commit = info.sha
        return {one.rfilename: one.size for one in info.siblings or [] if one.rfilename in KNOWN}

    def fetch(self, name: str, folder: Path) -> None:
        """Download a file of the chosen commit."""
        place = folder / ".fetched"
        with explained(self.address):
            answer = self.api.hf_hub_download(self.address.repo, name, revision=self.commit, local_dir=str(place))
        path = Path(answer)
        # A client that answers with another place must not make us read or move files from there.
        if path.is_symlink() or path.resolve() != (place / name).resolve() or not path.is_file():
            raise InputError(f"{HUB}{self.address.repo}/{name}: expected the file in {place}, got {path}")
        path.replace(folder / name)
        shutil.rmtree(place)


@contextmanager
def explained(address: HubAddress) -> Iterator[None]:
    """Tell what goes wrong on the way to the hub in one line."""
    failures: list[type[Exception]] = [OSError, ValueError]
    # A refused connection is an error of whatever library the client talks HTTP with; its own errors inherit from it.
    errors = sys.modules.get("huggingface_hub.errors")
    if errors is not None:
        failures += [base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"]
    try:
        yield
    except tuple(failures) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{HUB}{address.repo}: {reason}") from error


def check_size(where: str, name: str, size: int | None, max_bytes: int) -> None:
    """Refuse what is too large: weights by `max_bytes`, everything else by a limit of its own."""
    limit = max_bytes if name.endswith(".safetensors") else MAX_TEXT_BYTES
    if size is not None and size > limit:
        raise InputError(f"{where}: expected at most {limit:,} bytes, found {size:,}")


def connect() -> Hub:
    """The client of `huggingface_hub`.

    Raises:
        MissingExtraError: If it is not installed.
    """
    api: Hub = require("huggingface_hub", extra="hub").HfApi(library_name="mmgraph")
    return api
