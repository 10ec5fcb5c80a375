"""Models: found, loaded and run here and nowhere else."""
