"""Finished runs side by side: estimates with the errors of their differences."""

from vdp.comparison.side_by_side import Comparison, compare
from vdp.comparison.write import caption, write

__all__ = ["Comparison", "caption", "compare", "write"]
