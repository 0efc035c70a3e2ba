"""What runs the service elsewhere: images, compose, Triton, dashboards, alerts."""
