"""S3 in front of any storage."""

__version__ = "0.1.0"
