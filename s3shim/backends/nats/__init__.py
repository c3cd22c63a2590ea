"""Objects in NATS JetStream, in the format of its Object Store, so that every NATS tool reads them too."""
