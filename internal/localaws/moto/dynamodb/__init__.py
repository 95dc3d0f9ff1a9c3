"""DynamoDB: what moto lacks or does differently."""
