"""Many runs from one command: grids of variants and seeds, here or on a Slurm cluster."""
