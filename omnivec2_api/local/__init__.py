"""The parts of a network in this process: its event loop, and its runtime with the data plane."""
