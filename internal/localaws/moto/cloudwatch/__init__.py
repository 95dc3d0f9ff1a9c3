"""CloudWatch: what moto lacks or does differently."""
