"""s3shim behind nginx: ``make proxy``."""
