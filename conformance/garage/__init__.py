"""The storage in another S3 over a real Garage: contract, probes, long listings, faults, kills."""
