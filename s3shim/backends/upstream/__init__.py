"""Objects in another S3: everything is verified on the way in and on the way back, and signed anew."""
