"""Numbers of models and images, as pure functions of arrays: bounds, codes, distances."""
