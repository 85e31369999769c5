"""What an audit says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mmgraph.errors import first_few

Severity = Literal["leak", "warning"]

CHECKS = {
    "changed-file": "files are those that their digests were made of",
    "unknown-id": "every id that is asked is a node of the graph",
    "edge-in-graph": "no held-out edge is in the graph",
    "reversed-edge-in-graph": "no held-out edge is in the graph the other way round",
    "reverse-relation-in-graph": "no held-out edge is in the graph as an edge of the declared reverse relation",
    "pair-in-other-relation": "no held-out pair is joined in the graph by another relation",
    "pair-in-two-parts": "no pair of nodes lies in two parts, in whatever direction",
    "id-in-two-parts": "no node, and no query, lies in two parts",
    "future-in-training": "what is trained on is older than what is asked, if the split is by time",
    "new-node-with-edges": "new nodes have no training edge, if the split is by new nodes",
    "negative-is-positive": "no fixed negative is a known positive, or the node itself",
    "same-text-in-two-parts": "no text of a held-out node is also that of a training node",
    "same-image-in-two-parts": "no image of a held-out node is also that of a training node",
    "query-in-graph": "no query is the text or the image of a node that it should find",
    "features-from-held-out": "no declared feature was computed from held-out data",
    "column-counts-held-out": "no column counts held-out edges",
    "canary": "random features on a random graph score at chance",
}
"""Every check, and what holds where it finds nothing."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        check: One of `CHECKS`.
        where: The task or split, and the graph.
        count: Number of edges, nodes, queries or files.
        detail: What was found, with the first few ids.
        severity: `leak`, or `warning` for what may be intended.
    """

    check: str
    where: str
    count: int
    detail: str
    severity: Severity = "leak"

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"


@dataclass(frozen=True)
class AuditReport:
    """All findings of an audit.

    Attributes:
        checks: The checks that were made.
        audited: What was audited: graphs, tasks and splits.
        findings: What was found, in the order of the checks.
        canary: One entry for every pipeline and task of the canary, see `mmgraph.audit.canary.CanaryResult`.
    """

    checks: tuple[str, ...]
    audited: tuple[str, ...]
    findings: tuple[Finding, ...]
    canary: tuple[dict[str, Any], ...] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Findings that are leaks."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def examples(items: Iterable[Any], *, join: str = " - ") -> str:
    """The first few items of a list for a message; tuples are joined."""
    shown = [join.join(map(str, item)) if isinstance(item, tuple) else item for item in items]
    return first_few(shown, 3)


def pairs_of(*columns: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Rows of columns as tuples."""
    return list(zip(*columns, strict=True))
