"""What a running tree shows to the outside: HTTP, health, metrics, the dashboard."""
