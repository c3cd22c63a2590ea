"""s3shim and versitygw side by side over the same Garage, and Garage itself."""
