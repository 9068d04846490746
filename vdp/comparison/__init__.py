"""Finished runs side by side: estimates with the errors of their differences."""

from vdp.comparison.side_by_side import Comparison, compare

__all__ = ["Comparison", "compare"]
