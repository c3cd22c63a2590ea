"""s3shim behind nginx: with the configurations of deploy/nginx, and with others that are bad on purpose."""
