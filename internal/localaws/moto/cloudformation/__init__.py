"""CloudFormation: what moto lacks or does differently."""
