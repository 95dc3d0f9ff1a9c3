"""The resource types of Carnation's templates, in a file for each service. On AWS, every property is set, and an update
resets those that the template no longer has. moto drops most properties for encryption, logs, traces and retention.
"""

from cloudformation.resource_types import (
    awslambda,
    cloudwatch,
    dynamodb,
    iam,
    kms,
    logs,
    nested_stack,
    policies,
    s3,
    scheduler,
    sns,
    sqs,
    stepfunctions,
)
