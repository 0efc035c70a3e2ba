"""Recordings of motion sensors: names of channels, units, time stamps."""
