"""Prometheus metrics: counts and durations by route, outcome and batch; never an id, a DID or a tenant."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One registry a service, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "credence_http_requests_total", "Requests", ["method", "route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "credence_http_request_seconds", "Time to the answer", ["method", "route"], registry=self.registry
        )
        self.presentations = Counter(
            "credence_presentations_total",
            "Presentations judged, by outcome or by the code of the refusal",
            ["outcome"],
            registry=self.registry,
        )
        self.batch_entries = Histogram(
            "credence_sequencer_batch_entries",
            "Entries made durable together",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self.registry,
        )
        self.log_size = Gauge("credence_log_size", "Leaves of the log", registry=self.registry)
        self.anchored_size = Gauge("credence_anchored_size", "Leaves under an anchor", registry=self.registry)
