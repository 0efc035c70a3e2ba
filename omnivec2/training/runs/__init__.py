"""What a training run does besides its steps: show progress, log, be interrupted and resume."""
