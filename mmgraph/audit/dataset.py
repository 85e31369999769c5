"""The audit of a dataset folder: all checks, one report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from mmgraph.audit.canary import CanaryConfig, run_canary
from mmgraph.audit.content import check_content, check_queries
from mmgraph.audit.edges import check_edges, check_negatives
from mmgraph.audit.features import check_count_columns, check_declared_features
from mmgraph.audit.findings import CHECKS, AuditReport, Finding
from mmgraph.audit.material import Material, read_material
from mmgraph.audit.parts import check_new_nodes, check_parts, check_time

_CHECKERS: tuple[Callable[[Material], Iterator[Finding]], ...] = (
    check_edges,
    check_parts,
    check_time,
    check_new_nodes,
    check_negatives,
    check_content,
    check_queries,
    check_declared_features,
    check_count_columns,
)


def audit_dataset(folder: Path | str, *, canary: CanaryConfig | None = None) -> AuditReport:
    """Look for leaks in a dataset folder.

    Args:
        folder: Folder with a graph (tables, encoded, or both) and `tasks/` or `splits/`.
        canary: Also run the pipeline on random graphs of the same shape, see `mmgraph.audit.canary`.

    Raises:
        InputError: If the folder holds nothing to audit, or files that cannot be read.
    """
    material = read_material(folder)
    findings = [*material.findings]
    for check in _CHECKERS:
        findings += check(material)
    results = [] if canary is None else run_canary(material, canary)
    findings += [result.finding() for result in results if not result.at_chance]
    order = list(CHECKS)
    return AuditReport(
        checks=tuple(check for check in CHECKS if canary is not None or check != "canary"),
        audited=(*(f"graph: {name}" for name in material.graphs), *(held.where for held in material.held_out)),
        findings=tuple(sorted(findings, key=lambda finding: order.index(finding.check))),
        canary=tuple(result.to_dict() for result in results),
    )
