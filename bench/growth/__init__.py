"""How the costs of s3shim grow: with the bucket, with the clients, with the workers, with the object."""
