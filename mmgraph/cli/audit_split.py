"""`mmgraph audit-split`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from mmgraph.cli.output import note, write_line, write_table
from mmgraph.cli.parser import make_parser

if TYPE_CHECKING:
    from mmgraph.audit.findings import Finding

EXIT_LEAK = 1


def build_parser() -> ArgumentParser:
    """Make the parser."""
    parser = make_parser(
        "audit-split",
        "Look for held-out data that reaches training: edges of validation and test in the graph (either direction,\n"
        "any relation, declared reverses), nodes and pairs in two parts, copies of texts and images on both sides,\n"
        "features that count held-out edges, negatives that are positives. Then run the canary: random features on a\n"
        "random graph of the same shape must score at chance. Exit code 0 if nothing is found, 1 after a leak.",
        "audit-split --graph data/openmoji",
        "audit-split --graph data/shop --no-canary --out audit.json",
    )
    parser.add_argument("--graph", type=Path, required=True, help="Dataset folder with a graph, and tasks or splits.")
    parser.add_argument("--no-canary", action="store_true", help="Only look at the data.")
    parser.add_argument("--steps", type=int, default=30, help="Training steps of the canary.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the canary.")
    parser.add_argument("--out", type=Path | None, help="JSON file with everything that was found.")
    return parser


def run(args: Namespace) -> int:
    """Audit, print what was found, and say by the exit code whether that is a leak."""
    from mmgraph.audit.canary import CanaryConfig, small_pretrain_config
    from mmgraph.audit.dataset import audit_dataset
    from mmgraph.audit.findings import CHECKS
    from mmgraph.files import write_json

    canary = (
        None if args.no_canary else CanaryConfig(seed=args.seed, pretrain=small_pretrain_config(args.steps, args.seed))
    )
    report = audit_dataset(args.graph, canary=canary)
    note(f"audited {', '.join(report.audited)}")
    counts = {check: [f for f in report.findings if f.check == check] for check in report.checks}
    rows = [[check, _verdict(counts[check]), CHECKS[check]] for check in report.checks]
    write_table(["check", "found", "what should hold"], rows)
    if report.canary:
        write_line("")
        write_table(
            ["canary", "pipeline", "metric", "score", "chance from", "to", "rows"],
            [
                [r[key] for key in ("where", "pipeline", "metric", "value", "low", "high", "num_asked")]
                for r in report.canary
            ],
        )
    if report.findings:
        write_line("")
    for finding in report.findings:
        write_line(f"{finding.severity}: {finding.check}: {finding}")
    if args.out is not None:
        write_json(args.out, report.to_dict())
    write_line("")
    write_line(f"{len(report.leaks)} leaks in {len(report.checks)} checks")
    return EXIT_LEAK if report.leaks else 0


def _verdict(findings: Sequence[Finding]) -> str:
    return "nothing" if not findings else f"{sum(finding.count for finding in findings):,}"


def kept(args: Namespace) -> str:
    """Nothing to keep."""
    return f"{args.graph} was not changed"
