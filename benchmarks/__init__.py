"""Measurements, run by hand: `python -m benchmarks.NAME`; nothing here is asserted."""
