"""Counters for Prometheus, in a registry of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What the server counts. Labels are routes, never what a request holds."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "mmgraph_requests", "Requests by route and status.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "mmgraph_request_seconds", "Seconds per request.", ("route",), buckets=SECONDS, registry=registry
        )
        self.encoded = Histogram("mmgraph_encode_batch", "Queries encoded together.", buckets=SIZES, registry=registry)
        self.searched = Histogram(
            "mmgraph_search_batch", "Queries searched together.", buckets=SIZES, registry=registry
        )
        self.active = Gauge("mmgraph_requests_active", "Requests in work.", registry=registry)
        self.generation = Gauge("mmgraph_index_generation", "Number of the index that is served.", registry=registry)
        self.nodes = Gauge("mmgraph_index_nodes", "Nodes of the index that is served.", registry=registry)

    def text(self) -> bytes:
        """All of them in the text format of Prometheus."""
        return generate_latest(self.registry)
