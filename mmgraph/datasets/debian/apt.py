"""Index files through apt, which knows the sources, fetches and verifies; nothing of the system is touched.

Apt runs with folders of its own inside the cache, and with its own list of what to fetch, so that neither root nor the
package `appstream` is needed. What is fetched are the files of one release for one architecture; updates are left out,
so that everybody gets the same files until the next point release.

References:
    apt.conf(5); "Acquiring additional files" in the documentation of apt.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mmgraph.datasets.debian.archive import FILES, RELEASE
from mmgraph.datasets.debian.sources import Source, release_sources
from mmgraph.errors import InputError
from mmgraph.files import atomic_folder
from mmgraph.progress import console

ORIGIN = "Debian"
ARCHITECTURE = "amd64"
"""Of all machines, so that the graph is the same everywhere."""

_BY_HAND = f"or get {FILES} of a Debian release elsewhere and name them: --local FILE ..."

# The hooks of the system clean or refresh caches of the system; the other settings (proxies, keys) stay in force.
_SETTINGS = f"""
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "{ARCHITECTURE}";
APT::Architectures {{ "{ARCHITECTURE}"; }};
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "2";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
#clear Acquire::IndexTargets;
"""

_TARGETS = {
    f"$(COMPONENT)/binary-{ARCHITECTURE}/Packages": "xz gz",
    f"$(COMPONENT)/dep11/Components-{ARCHITECTURE}.yml": "xz gz",
    "$(COMPONENT)/dep11/icons-64x64.tar": "gz xz",
    "$(COMPONENT)/dep11/icons-128x128.tar": "gz xz",
}


def fetch_index(folder: Path, work: Path) -> None:
    """Fetch the index files of the release that this machine uses.

    Args:
        folder: Where they are put, all or none, under their own names.
        work: Folder for apt; a download that was stopped goes on from there.

    Raises:
        InputError: If there is no apt, no source of a Debian release, or fetching fails; says what to do.
    """
    work = work.absolute()  # apt takes relative paths for places inside its own folders
    if shutil.which("apt-get") is None:
        raise InputError(f"debian: this machine has no apt-get; use one that has, {_BY_HAND}")
    sources = release_sources()
    if not sources:
        raise InputError(f"debian: apt has no source with a release and the component main; add one, {_BY_HAND}")
    failure = ""
    for source in sources:
        try:
            _update(source, work)
        except InputError as error:
            failure = failure or str(error)
            continue
        files = _fetched(work)
        if files:
            with atomic_folder(folder, overwrite=folder.exists()) as temporary:
                for file in files:
                    shutil.copyfile(file, temporary / file.name.rpartition("_")[2])
            return
    raise InputError(failure or f"debian: none of apt's sources is a release of Debian; {_BY_HAND}")


def _update(source: Source, work: Path) -> None:
    """Let apt fetch what it does not have yet."""
    for part in ("lists/partial", "cache"):
        (work / part).mkdir(parents=True, exist_ok=True)
    (work / "mmgraph.sources").write_text(source.stanza(), encoding="utf-8")
    (work / "apt.conf").write_text(_configuration(), encoding="utf-8")
    console.print(f"fetching the index of {source.suite} with apt", highlight=False, markup=False)
    result = _run(work, ["update", "-q"])
    if result.returncode != 0:
        lines = [line.strip() for line in result.stderr.splitlines() if re.match("[EW]: ", line.strip())]
        first = next((line for line in lines if "unsandboxed" not in line), "E: no message")
        raise InputError(
            f"debian: apt-get could not fetch the index of {source.suite} ({first}); check the network, {_BY_HAND}"
        )


def _configuration() -> str:
    """Settings in the syntax of apt.conf: ours, and the files to fetch in place of the usual ones."""
    targets = "".join(
        f'Acquire::IndexTargets::deb::mmgraph-{number} {{ MetaKey "{key}"; ShortDescription "{name}"; '
        f'Description "$(RELEASE)/$(COMPONENT) {name}"; Optional "{"false" if number == 0 else "true"}"; '
        f'KeepCompressed "true"; KeepCompressedAs "{compression}"; }};\n'
        for number, (key, compression) in enumerate(_TARGETS.items())
        for name in [key.rpartition("/")[2]]
    )
    return _SETTINGS + targets


def _fetched(work: Path) -> list[Path]:
    """Paths of the files that apt has fetched and verified, or none if they are not Debian's."""
    found = _run(work, ["indextargets", "--format", "$(ORIGIN)|$(FILENAME)"]).stdout.splitlines()
    files = [Path(name) for origin, _, name in (line.partition("|") for line in found) if origin == ORIGIN]
    releases = sorted((work / "lists").glob(f"*{RELEASE}"))
    return [*files, *releases[:1]] if files else []


def _run(work: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    settings = {
        "Dir::State::lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": work / "mmgraph.sources",
        "Dir::Etc::sourceparts": "/dev/null",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    command = ["apt-get", "-c", str(work / "apt.conf"), *options, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)
