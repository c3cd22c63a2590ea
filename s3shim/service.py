"""What the service tells of itself in its answers, made of the settings."""

from __future__ import annotations

from s3shim import __version__
from s3shim.backends.base import Backend
from s3shim.config import Config
from s3shim.metrics import Numbers, board
from s3shim.wire.hosts import Proxies, Trusted
from s3shim.wire.request import Service

_ANY_REGION = "any"


def service_of(config: Config, token_key: bytes, backend: Backend) -> Service:
    """Return what requests to ``backend`` are told; the other workers see its numbers from now on."""
    service = Service(
        token_key=token_key,
        max_put_size=config.max_put_size,
        min_part_size=config.min_part_size,
        domains=config.domains,
        titled_metadata=config.meta_header_case == "title",
        numbers=Numbers(__version__, config.backend, backend.measures, board()),
    )
    if config.external_url is not None or config.trusted_proxies != Trusted():
        service.proxies = Proxies(config.external_url, config.trusted_proxies)
    if config.region == _ANY_REGION:
        service.any_region = True
    else:
        service.region = config.region
    offered = {"/metrics": config.metrics_endpoint, "/stats": config.stats_endpoint}
    service.closed = frozenset(path for path, is_open in offered.items() if not is_open)
    service.numbers.start()
    return service
