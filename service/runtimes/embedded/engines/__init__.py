"""Engines that run a graph in this process, behind one small protocol."""
