"""Load on a server: bounded memory, Complete as metadata work, races, overwrites."""
