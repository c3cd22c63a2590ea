"""Settings: what they are called, which values are good, and where they come from.

``table`` describes every setting; ``loading`` reads flags and environment; ``record`` is what they come to.
"""

from s3shim.config.loading import key_pair, load
from s3shim.config.parsers import Address
from s3shim.config.record import LOCAL, NATS, S3, Config, ConfigError
from s3shim.config.table import SECTIONS, SETTINGS, Setting, document

__all__ = [
    "LOCAL",
    "NATS",
    "S3",
    "SECTIONS",
    "SETTINGS",
    "Address",
    "Config",
    "ConfigError",
    "Setting",
    "document",
    "key_pair",
    "load",
]
