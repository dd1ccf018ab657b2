"""What is served: the dashboard, metrics, health checks."""
