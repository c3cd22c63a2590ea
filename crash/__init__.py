"""Proof by force that the local store keeps its promises: ``python -m crash``, see docs/durability.md."""
