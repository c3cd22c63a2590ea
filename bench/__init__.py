"""The project's benchmark: s3shim and its peers do the same work, side by side. See docs/performance.md."""
