"""What a run is and what came out of it, as a page: card.html and card.md, and an index of many.

All is read from the files of a run's folder; no model is built, and jax is not needed.
"""
