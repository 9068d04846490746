"""What trains: the state, the step, the optimiser, checkpoints and the loop over them."""
