"""Gateways side by side over one storage."""
