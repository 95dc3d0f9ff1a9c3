"""CloudFormation, the resource types of Carnation's templates, in a file for each service.

AWS sets every property, and an update clears what the template no longer says.
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
    sns,
    sqs,
    stepfunctions,
)
