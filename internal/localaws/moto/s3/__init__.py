"""S3: what moto lacks or does differently."""
