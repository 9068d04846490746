"""PNG pictures of a checkpoint."""
