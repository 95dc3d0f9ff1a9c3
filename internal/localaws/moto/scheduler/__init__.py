"""SQS: what moto lacks or does differently."""
