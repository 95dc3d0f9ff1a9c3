"""SNS: what moto lacks or does differently."""
