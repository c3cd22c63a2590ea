"""``python -m s3shim.routes.docs > docs/operations.md`` writes the table as a page."""

import sys

from s3shim.routes import document

if __name__ == "__main__":
    sys.stdout.write(document())
