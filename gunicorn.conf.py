"""Settings for ``gunicorn -c gunicorn.conf.py s3shim.wsgi:app``: the environment's, as s3shim reads it."""

from s3shim.cli.serve import settings_from_environment

globals().update(settings_from_environment())
