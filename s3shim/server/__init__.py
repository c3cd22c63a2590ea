"""The HTTP server: a gunicorn worker class. It stands apart from the rest of s3shim."""
