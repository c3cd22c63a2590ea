"""s3shim and nats-s3 side by side over the same nats-server."""
