"""Plots as SVG, written by hand: readable on light and on dark, nothing to install."""
