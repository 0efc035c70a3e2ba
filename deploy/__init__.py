"""Deployment of the service: images, compose, Triton, dashboards, alerts."""
