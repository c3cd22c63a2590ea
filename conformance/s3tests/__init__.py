"""The suite of ceph/s3-tests, run as it is against our server."""
