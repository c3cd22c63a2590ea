"""One module per client; each case has a bucket of its own."""
