"""Where this machine gets its packages from: apt's list of sources, in both of its formats.

References:
    sources.list(5).
"""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmgraph.datasets.debian.control import stanzas
from mmgraph.errors import InputError

COMPONENT = "main"

# What decides which files are fetched is ours to say; how they are reached and verified stays as it is.
_NOT_COPIED = {
    *("types", "uris", "suites", "components", "enabled", "architectures", "arch", "languages", "lang"),
    *("targets", "target", "pdiffs", "by-hash", "description"),
}


@dataclass(frozen=True)
class Source:
    """One release at one place.

    Attributes:
        uri: Where it is.
        suite: Name of the release there.
        options: Further fields by name in lower case, such as `signed-by`.
    """

    uri: str
    suite: str
    options: tuple[tuple[str, str], ...] = ()

    def stanza(self) -> str:
        """The source as a stanza of a `.sources` file, for the component `main` alone."""
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {self.suite}", f"Components: {COMPONENT}"]
        # A key may be given in full, as a block of lines; an empty one is a dot there.
        lines += [f"{name}: {value}".replace("\n", "\n ") for name, value in self.options]
        return "\n".join(lines) + "\n"


def release_sources() -> list[Source]:
    """Sources of this machine that may be a release of Debian, those of its own release first.

    Suites with updates to a release (`bookworm-updates`, `bookworm-security`, `bookworm/updates`) are left out: they
    change from day to day. Whether a source is Debian's is known only when its release file is there.

    Raises:
        InputError: If a file of sources cannot be read, or is not in the format of control files.
    """
    found: dict[Source, None] = {}
    for path in _source_files():
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except PermissionError:
            raise InputError(f"{path}: cannot be read; make it readable, or name local index files: --local") from None
        parse = parse_deb822 if path.suffix == ".sources" else parse_one_line
        found |= dict.fromkeys(parse(text, where=str(path)))
    codename = _codename()
    plain = [source for source in found if not re.search("[-/]", source.suite)]
    return sorted(plain, key=lambda source: source.suite != codename)


def _source_files() -> list[Path]:
    """Files of sources, as apt is configured."""
    command = ["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    places = dict(word.split("=", 1) for word in shlex.split(result.stdout) if "=" in word)
    single, folder = Path(places.get("LIST", "")), Path(places.get("PARTS", ""))
    parts = sorted(folder.iterdir()) if "PARTS" in places and folder.is_dir() else []
    files = [path for path in parts if re.fullmatch(r"[\w.-]+\.(list|sources)", path.name)]
    return ([single] if single.is_file() else []) + [path for path in files if path.is_file()]


def _codename() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def parse_deb822(text: str, *, where: str = "sources") -> list[Source]:
    """Sources of binary packages with the component `main` in a `.sources` file.

    Raises:
        InputError: If it is not in the format of control files.
    """
    found = []
    for stanza in stanzas(text, where=where):
        if stanza.get("enabled", "yes").lower() in ("no", "false", "0", "off", "without", "disable"):
            continue
        if "deb" in stanza.get("types", "").split() and COMPONENT in stanza.get("components", "").split():
            options = _copied(stanza)
            suites = stanza.get("suites", "").split()
            found += [Source(uri, suite, options) for uri in stanza.get("uris", "").split() for suite in suites]
    return found


def parse_one_line(text: str, *, where: str = "sources") -> list[Source]:
    """Sources of binary packages with the component `main` in a `.list` file; other lines are passed over."""
    del where
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>.*)", line)
        if match and COMPONENT in match["rest"].partition("#")[0].split():
            words = (word.partition("=") for word in (match["options"] or "").split())
            options = _copied({name.lower(): value.replace(",", " ") for name, _, value in words})
            found.append(Source(match["uri"], match["suite"], options))
    return found


def _copied(options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in sorted(options.items()) if name.rstrip("+-") not in _NOT_COPIED)
