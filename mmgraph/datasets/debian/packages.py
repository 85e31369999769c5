"""Packages of a release, read from its `Packages` index; nothing that names a person is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmgraph.datasets.debian.control import package_names, stanzas, version_key
from mmgraph.errors import InputError

RELATIONS = {
    "depends": ("pre-depends", "depends"),
    "recommends": ("recommends",),
    "suggests": ("suggests",),
    "enhances": ("enhances",),
}
"""Fields that become the edges of a relation."""

_FIELDS = {
    *("package", "version", "architecture", "source", "section", "description", "tag", "provides"),
    *(name for names in RELATIONS.values() for name in names),
}
_ADDRESS = re.compile(r"<?[\w.+-]+@[\w-]+(\.[\w-]+)+>?")


@dataclass(frozen=True)
class Package:
    """What the graph uses of one binary package.

    Attributes:
        name: Name of the package.
        version: Its version.
        source: Name of the source package that it is built from.
        text: Name and short description.
        description: Short description alone.
        section: Section of the archive. It is a label: only tasks and the choice of baskets may read it.
        tags: Debtags, sorted. Labels too.
        provides: Names that it stands for.
        wants: By relation the names that it asks for, alternatives included; they need not exist.
    """

    name: str
    version: str
    source: str
    text: str
    description: str
    section: str | None
    tags: tuple[str, ...]
    provides: tuple[str, ...]
    wants: Mapping[str, tuple[str, ...]]


def read_packages(data: bytes, *, where: str = "Packages") -> tuple[list[Package], dict[str, int]]:
    """Read a `Packages` index: one package per name, sorted by name.

    Of several versions of a name the highest stays (of equal ones the same always, wherever they stand).

    Args:
        data: Content of the index.
        where: Named in errors.

    Returns:
        The packages, and counts of what was left out: `older_versions`, `addresses` (e-mail addresses that were cut
        out of descriptions).

    Raises:
        InputError: If it is not UTF-8, not in the format of control files, lacks a name or version, or is empty.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: expected UTF-8, got: {error}") from None
    best: dict[str, dict[str, str]] = {}
    left_out = Counter({"older_versions": 0, "addresses": 0})
    for stanza in stanzas(text, fields=_FIELDS, where=where):
        for field in ("package", "version"):
            if not stanza.get(field):
                raise InputError(f"{where}: a stanza has no {field.title()}: {str(stanza)[:80]}")
        other = best.setdefault(stanza["package"], stanza)
        if other is not stanza:
            left_out["older_versions"] += 1
            best[stanza["package"]] = max(other, stanza, key=_precedence)
    if not best:
        raise InputError(f"{where}: expected at least one package, got none")
    packages = [_package(stanza) for _, stanza in sorted(best.items())]
    left_out["addresses"] = sum(len(_ADDRESS.findall(stanza.get("description", ""))) for stanza in best.values())
    return packages, dict(left_out)


def _precedence(stanza: dict[str, str]) -> tuple[object, ...]:
    return version_key(stanza["version"]), stanza["version"], sorted(stanza.items())


def _package(stanza: Mapping[str, str]) -> Package:
    name = stanza["package"]
    # Long descriptions, where an index has them, list what metapackages contain: the answer to a task.
    short = stanza.get("description", "").split("\n", 1)[0]
    description = " ".join(_ADDRESS.sub("", short).split())
    section = stanza.get("section", "").rpartition("/")[2]  # `contrib/net` in other components
    return Package(
        name=name,
        version=stanza["version"],
        source=(stanza.get("source") or name).split()[0],  # `Source: gcc-12 (12.2.0-14)`
        text=f"{name}: {description}" if description else name,
        description=description,
        section=section or None,
        tags=tuple(sorted({tag for part in stanza.get("tag", "").split(",") if (tag := part.strip())})),
        provides=package_names(stanza.get("provides", "")),
        wants={
            relation: package_names(",".join(stanza[field] for field in fields if field in stanza))
            for relation, fields in RELATIONS.items()
        },
    )


def find_edges(packages: Sequence[Package]) -> tuple[dict[str, list[tuple[str, str]]], dict[str, int]]:
    """Edges between packages by relation, sorted, each pair of a relation once.

    A package that a field names is a target, every alternative (`a | b`) likewise; versions play no role. A name that
    is no package (a virtual one) stands for the package that provides it if there is only one; a choice of several
    gives no edge.

    Returns:
        Pairs of names, source first, by relation; and by relation how many of the names gave no edge.
    """
    names = {package.name for package in packages}
    providers: dict[str, list[str]] = {}
    for package in packages:
        for virtual in package.provides:
            providers.setdefault(virtual, []).append(package.name)
    found: dict[str, list[tuple[str, str]]] = {}
    unresolved: Counter[str] = Counter(dict.fromkeys(RELATIONS, 0))
    for relation in RELATIONS:
        edges = set()
        for package in packages:
            for name in package.wants[relation]:
                targets = [name] if name in names else providers.get(name, ())
                if len(targets) == 1:
                    edges.add((package.name, targets[0]))
                else:
                    unresolved[relation] += 1
        found[relation] = sorted((source, target) for source, target in edges if source != target)
    return found, dict(unresolved)
