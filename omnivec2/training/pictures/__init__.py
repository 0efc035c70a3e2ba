"""Pictures and tables that show people what a head answers: confusions, samples, curves."""
