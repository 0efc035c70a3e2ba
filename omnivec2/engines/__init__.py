"""Facts about engines that the exporter and the service share."""
