"""Every client does every kind of transfer, over plain HTTP and over TLS."""
