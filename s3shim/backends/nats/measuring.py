"""What the storage tells of itself: the connection and its loop, what is under way, what was removed."""

from __future__ import annotations

from s3shim.backends.nats.bridge import LAGS
from s3shim.backends.nats.chunks import WINDOW
from s3shim.backends.nats.store import Calls, Store
from s3shim.measures import Across, Durability, Kind, Measure


class Measuring(Calls):
    """The calls of Backend that tell of it. The names nats_... are those of nats-s3."""

    def measures(self) -> list[Measure]:
        """See Backend."""
        store = self._store
        return [
            Measure.of(
                "nats_objectstore_buckets_total",
                "Buckets in the Object Store; counted every 15 seconds.",
                Kind.GAUGE,
                store.remote.census.buckets if store else None,
                Across.ANY,
            ),
            Measure.of(
                "nats_client_state",
                "Whether all processes have a connection to NATS: 1 or 0.",
                Kind.GAUGE,
                float(store is not None and store.remote.connection.connected),
                Across.LEAST,
            ),
            Measure.of(
                "nats_client_reconnects_total",
                "Connections to NATS that were made after the first one.",
                Kind.COUNTER,
                max(store.remote.connection.connections - 1, 0) if store else 0,
            ),
            Measure.of(
                "s3shim_nats_sync_always",
                "Whether JetStream syncs writes before it acknowledges them: 1 or 0, as its monitor tells.",
                Kind.GAUGE,
                None
                if store is None or store.remote.census.syncing is None
                else store.remote.census.syncing.always,
                Across.ANY,
            ),
            *_bridge(store),
        ]

    def durability(self) -> Durability:
        """See Backend."""
        store = self._store
        if store is None or store.remote.census.syncing is None:
            return Durability.UNKNOWN
        return store.remote.census.syncing.durability


def _bridge(store: Store | None) -> list[Measure]:
    return [
        Measure.of(
            "s3shim_nats_calls",
            "Calls of requests that wait for the loop of the NATS client.",
            Kind.GAUGE,
            store.bridge.calls if store else 0,
        ),
        Measure.of(
            "s3shim_nats_pending_answers",
            "Acknowledgements and answers that NATS owes.",
            Kind.GAUGE,
            store.remote.connection.waiting if store else 0,
        ),
        Measure.of(
            "s3shim_nats_bytes_in_flight",
            "Room of the windows of long bodies that are on their way to NATS, in bytes.",
            Kind.GAUGE,
            store.windows_taken * WINDOW if store else 0,
        ),
        Measure(
            "s3shim_nats_loop_lag_seconds",
            "How much later than it wanted the loop of the NATS client woke up, looked at every half second.",
            Kind.HISTOGRAM,
            {(): store.bridge.lag.numbers if store else [0.0] * (len(LAGS) + 2)},
            bounds=LAGS,
        ),
        Measure.of(
            "s3shim_nats_chunks_reclaimed_total",
            "Chunks that were removed because their object was replaced or deleted.",
            Kind.COUNTER,
            store.reclaim.chunks if store else 0,
        ),
    ]
