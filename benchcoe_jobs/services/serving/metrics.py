"""What a service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from benchcoe_jobs.services.serving.live_router import LiveRouters

_SHORT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
_LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Metrics:
    """Counters and histograms of one service; docs/serving.md describes them. Times are in seconds."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests to an expert.", "router", "expert", "code")
        self.refused = self._counter("refused", "Requests that were sent to no expert.", "code")
        self.route_s = self._histogram("route_seconds", "From a question to its stored decision.", _SHORT)
        self.upstream_s = self._histogram("upstream_seconds", "Until the end of an answer.", _LONG, "expert")
        self.first_byte_s = self._histogram("ttft_seconds", "Until the first byte of an answer.", _LONG, "expert")
        self.tokens = self._counter("tokens", "Tokens that experts counted.", "expert", "kind")
        self.cost = self._counter("cost", "Cost of answers, in the unit of the experts.", "expert")
        self.fallbacks = self._counter("fallback", "Questions that were unlike the training questions.")
        self.substitutes = self._counter("substitute", "Answers in place of an expert that failed.", "expert", "reason")
        self.explored = self._counter("explored", "Decisions for another expert than the chosen one.")
        self.dropped = self._counter("log_dropped", "Outcomes that could not be stored.")
        self.reload_failures = self._counter("reload_failures", "Attempts to load the router anew that failed.")
        self._router = Gauge(
            "benchcoe_router_info",
            "The loaded routers; the value is the time of the load.",
            ("router", "fingerprint"),
            registry=self._registry,
        )

    def show_routers(self, routers: LiveRouters) -> None:
        """Set the loaded routers."""
        self._router.clear()
        for live in routers.all:
            snapshot = live.loaded.decider.snapshot
            self._router.labels(snapshot.router.name, snapshot.fingerprint).set(live.loaded.loaded_at)

    def text(self) -> bytes:
        """All values in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"benchcoe_{name}", about, labels, registry=self._registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"benchcoe_{name}", about, labels, buckets=buckets, registry=self._registry)
