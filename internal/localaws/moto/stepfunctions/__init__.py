"""Step Functions: what moto lacks or does differently."""
