"""Many runs from one command, and one run in many processes: here or on a cluster."""
