"""How many replicas a load needs: measured costs, a table computed from them, a simulation."""
