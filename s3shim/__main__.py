"""``python -m s3shim`` is the command ``s3shim``."""

import sys

from s3shim.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
