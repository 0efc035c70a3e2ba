"""Pictures whose pixels are measurements: units, tags, and marks of missing values."""
