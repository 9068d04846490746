"""A run made ready for others: weights, config, own sources and a card, in one plain folder."""
