"""The format of Debian's index files: stanzas of fields, fields that name packages, versions.

References:
    Debian Policy Manual, chapters 5 (control files) and 7 (relationships between packages); deb-version(7).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import zip_longest

from mmgraph.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*")


def stanzas(
    text: str, *, fields: Collection[str] | None = None, where: str = "control file"
) -> Iterator[dict[str, str]]:
    """Read stanzas, separated by blank lines, of `Field: value` with continuation lines that begin with a space.

    Args:
        text: Content of the file.
        fields: Names of the fields to keep, in lower case; all by default.
        where: Named in errors.

    Yields:
        Values by name of the field in lower case; lines of a value are joined by newlines, without indentation.

    Raises:
        InputError: If a line is neither a field nor continues one, or a stanza has a field twice.
    """
    found: dict[str, str] = {}
    name = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.isspace():
            if found:
                yield found
            found, name = {}, ""
        elif line[0] == "#":
            continue
        elif line[0] in " \t":
            if not name:
                raise InputError(f"{where}, line {number}: expected 'Field: value', got {line[:40]!r}")
            if name in found:
                found[name] += "\n" + line.strip()
        else:
            name, colon, value = line.partition(":")
            name = name.lower()
            if not colon or not name or " " in name:
                raise InputError(f"{where}, line {number}: expected 'Field: value', got {line[:40]!r}")
            if name in found:
                raise InputError(f"{where}, line {number}: the field {name!r} occurs twice in a stanza")
            if fields is None or name in fields:
                found[name] = value.strip()
    if found:
        yield found


def package_names(value: str) -> tuple[str, ...]:
    """Names of packages in a field such as `Depends` or `Provides`, in order, each once.

    Of `a (>= 1) | b:any, c [amd64] <!nocheck>` these are a, b, c: all alternatives, without versions, architectures and
    build profiles.
    """
    names: dict[str, None] = {}
    for part in value.replace("|", ",").split(","):
        match = _NAME.match(part.lstrip())
        if match:
            names[match[0]] = None
    return tuple(names)


def version_key(version: str) -> tuple[int, tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]:
    """Key that sorts versions as dpkg does: `1.0~rc1 < 1.0 < 1.0-1 < 1.0-1+b1 < 1:0.5`."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, "0"
    return int(epoch) if epoch.isdigit() else 0, _part_key(upstream), _part_key(revision)


def _part_key(part: str) -> tuple[tuple[str, int], ...]:
    """Runs of other characters and numbers in turn, and the end, which is a run as well.

    Empty runs before the end do not count, as `1a` and `1a0` are equal.
    """
    texts, numbers = re.split(r"\d+", part), re.findall(r"\d+", part)
    runs = [(_letters_key(text), int(number)) for text, number in zip_longest(texts, numbers, fillvalue="0")]
    end = (_letters_key(""), 0)
    while len(runs) > 1 and runs[-1] == end:
        runs.pop()
    return (*runs, end)


def _letters_key(text: str) -> str:
    """Text in which `~` comes before the end, the end before letters, letters before everything else."""
    codes = (0 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in text)
    return "".join(map(chr, codes)) + chr(1)
