"""Other clients of NATS on the same Object Stores: the nats command line, nats.go and nats-s3."""
