"""CloudWatch Logs: what moto lacks or does differently."""
