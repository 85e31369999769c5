"""Looks for ways in which held-out data reaches training: in edges, parts, content, features, and in the pipeline."""

from mmgraph.audit.dataset import audit_dataset
from mmgraph.audit.findings import AuditReport, Finding

__all__ = ["AuditReport", "Finding", "audit_dataset"]
