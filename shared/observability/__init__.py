"""What a process tells its operator: `logs` (JSON lines), `metrics` (Prometheus), `tracing` (W3C)."""
