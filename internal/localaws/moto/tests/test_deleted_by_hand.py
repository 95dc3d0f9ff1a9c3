"""CloudFormation: resources that somebody has deleted, of every type."""

from __future__ import annotations

import json
import unittest
from typing import Any

from cloudformation.resource_handler import RESOURCE_TYPES
from tests.service import REGION, client

ASSUME = {"Version": "2012-10-17", "Statement": []}
TRUSTS_THE_SCHEDULER = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
ROLE = "arn:aws:iam::123456789012:role/r"
MACHINE = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
ALARM = {"Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1,
         "ComparisonOperator": "GreaterThanThreshold"}


def allow(action: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": "*"}}


# One resource of each type that can be deleted by hand: properties, a changed property, and the call that deletes it.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str, str]] = {
    "AWS::CloudWatch::Alarm": (ALARM, {"Threshold": 2}, "cloudwatch", "delete_alarms", "AlarmNames"),
    "AWS::CloudWatch::Dashboard": ({"DashboardBody": "{}"}, {"DashboardBody": '{"widgets":[]}'}, "cloudwatch", "delete_dashboards", "DashboardNames"),
    "AWS::DynamoDB::Table": (
        {"KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}], "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
         "BillingMode": "PAY_PER_REQUEST"}, {"DeletionProtectionEnabled": True}, "dynamodb", "delete_table", "TableName"),
    "AWS::IAM::ManagedPolicy": ({"PolicyDocument": allow("s3:GetObject")}, {"PolicyDocument": allow("s3:PutObject")}, "iam", "delete_policy", "PolicyArn"),
    "AWS::IAM::Role": ({"AssumeRolePolicyDocument": ASSUME}, {"Description": "d"}, "iam", "delete_role", "RoleName"),
    "AWS::KMS::Key": ({"KeyPolicy": ASSUME}, {"Description": "d"}, "kms", "schedule_key_deletion", "KeyId"),
    "AWS::Lambda::Function": (
        {"Code": {"S3Bucket": "code", "S3Key": "f.zip"}, "Role": ROLE, "Handler": "bootstrap", "Runtime": "provided.al2023"},
        {"Timeout": 9}, "lambda", "delete_function", "FunctionName"),
    "AWS::Logs::LogGroup": ({}, {"RetentionInDays": 7}, "logs", "delete_log_group", "logGroupName"),
    "AWS::S3::Bucket": ({}, {"VersioningConfiguration": {"Status": "Enabled"}}, "s3", "delete_bucket", "Bucket"),
    "AWS::Scheduler::Schedule": (
        {"ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}, "State": "DISABLED",
         "Target": {"Arn": "arn:aws:states:eu-central-2:123456789012:stateMachine:m", "RoleArn": ROLE}},
        {"Description": "d"}, "scheduler", "delete_schedule", "Name"),
    "AWS::Scheduler::ScheduleGroup": ({}, {"Tags": [{"Key": "a", "Value": "b"}]}, "scheduler", "delete_schedule_group", "Name"),
    "AWS::SNS::Topic": ({}, {"DisplayName": "d"}, "sns", "delete_topic", "TopicArn"),
    "AWS::SQS::Queue": ({}, {"DelaySeconds": 1}, "sqs", "delete_queue", "QueueUrl"),
    "AWS::StepFunctions::StateMachine": (
        {"Definition": MACHINE, "RoleArn": ROLE}, {"Definition": dict(MACHINE, Comment="c")}, "stepfunctions", "delete_state_machine", "stateMachineArn"),
}
# Types that are settings of, or point to, something else: another test covers them.
OTHERS = {"AWS::CloudFormation::Stack", "AWS::KMS::Alias", "AWS::Lambda::Alias", "AWS::Lambda::Version", "AWS::S3::BucketPolicy", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy",
          "AWS::SQS::QueuePolicy"}


def template(kind: str, properties: dict[str, Any]) -> str:
    return json.dumps({"Resources": {"R": {"Type": kind, "Properties": properties}}})


class TestDeletedByHand(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.cloudformation = client("cloudformation")
        client("s3").create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
        client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUSTS_THE_SCHEDULER))
        client("s3").put_object(Bucket="code", Key="f.zip", Body=b"PK\x05\x06" + bytes(18))

    def create(self, name: str, text: str) -> str:
        """Creates a stack, and returns the physical ID of its R."""
        self.cloudformation.create_stack(StackName=name, TemplateBody=text, Capabilities=["CAPABILITY_NAMED_IAM"])
        self.assertEqual(self.status(name), "CREATE_COMPLETE")
        return self.cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="R")["StackResourceDetail"]["PhysicalResourceId"]

    def status(self, name: str) -> str:
        return self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]

    def test_every_type_is_tested(self) -> None:
        self.assertEqual(set(CASES) | OTHERS, set(RESOURCE_TYPES))

    def test_deleting_the_stack_succeeds_and_changing_the_resource_fails(self) -> None:
        for kind, (properties, change, service, operation, parameter) in CASES.items():
            with self.subTest(kind):
                name = "by-hand-" + kind.rpartition(":")[2]
                physical_id = self.create(name, template(kind, properties))
                stack_id = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
                getattr(client(service), operation)(**{parameter: [physical_id] if parameter.endswith("Names") else physical_id})
                self.cloudformation.update_stack(StackName=name, TemplateBody=template(kind, dict(properties, **change)), Capabilities=["CAPABILITY_NAMED_IAM"])
                self.assertRegex(self.status(name), "UPDATE_ROLLBACK_(COMPLETE|FAILED)")
                events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
                self.assertIn(("R", "UPDATE_FAILED"), [(one["LogicalResourceId"], one["ResourceStatus"]) for one in events])
                self.cloudformation.delete_stack(StackName=name)
                self.assertEqual(self.status(stack_id), "DELETE_COMPLETE")

    def test_a_policy_or_subscription_goes_with_what_it_is_of(self) -> None:
        mail = {"TopicArn": {"Ref": "R"}, "Protocol": "email", "Endpoint": "me@example.com"}
        document = {"Version": "2012-10-17", "Statement": []}
        for kind, of, properties, service, operation, parameter in (
            ("AWS::SNS::Subscription", "AWS::SNS::Topic", mail, "sns", "delete_topic", "TopicArn"),
            ("AWS::SNS::TopicPolicy", "AWS::SNS::Topic", {"Topics": [{"Ref": "R"}], "PolicyDocument": document}, "sns", "delete_topic", "TopicArn"),
            ("AWS::SQS::QueuePolicy", "AWS::SQS::Queue", {"Queues": [{"Ref": "R"}], "PolicyDocument": document}, "sqs", "delete_queue", "QueueUrl"),
            ("AWS::S3::BucketPolicy", "AWS::S3::Bucket", {"Bucket": {"Ref": "R"}, "PolicyDocument": document}, "s3", "delete_bucket", "Bucket"),
        ):
            for by_hand in (True, False):
                with self.subTest(kind, by_hand=by_hand):
                    name = "of-" + kind.rpartition(":")[2]
                    physical_id = self.create(name, json.dumps({"Resources": {"R": {"Type": of}, "Of": {"Type": kind, "Properties": properties}}}))
                    stack_id = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
                    if by_hand:
                        getattr(client(service), operation)(**{parameter: physical_id})
                    self.cloudformation.delete_stack(StackName=name)
                    self.assertEqual(self.status(stack_id), "DELETE_COMPLETE")

    def test_what_points_to_something_else(self) -> None:
        document = {"Version": "2012-10-17", "Statement": []}
        function = {"Type": "AWS::Lambda::Function", "Properties": CASES["AWS::Lambda::Function"][0]}
        arn = {"Fn::GetAtt": ["R", "Arn"]}
        queue = {"Fn::Sub": "arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:none"}
        for kind, base, properties, change, service, operation, parameters in (
            ("AWS::KMS::Alias", {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": document}}, {"AliasName": "alias/by-hand", "TargetKeyId": {"Ref": "R"}},
             {"TargetKeyId": arn}, "kms", "delete_alias", {"AliasName": "alias/by-hand"}),
            ("AWS::S3::BucketPolicy", {"Type": "AWS::S3::Bucket"}, {"Bucket": {"Ref": "R"}, "PolicyDocument": document},
             {"PolicyDocument": {"Statement": []}}, "s3", "delete_bucket_policy", {"Bucket": "R"}),
            ("AWS::SNS::Subscription", {"Type": "AWS::SNS::Topic"}, {"TopicArn": {"Ref": "R"}, "Protocol": "sqs", "Endpoint": queue},
             {"RawMessageDelivery": True}, "sns", "unsubscribe", {"SubscriptionArn": "Of"}),
            ("AWS::Lambda::Alias", function, {"FunctionName": {"Ref": "R"}, "FunctionVersion": "$LATEST", "Name": "live"},
             {"Description": "d"}, "lambda", "delete_alias", {"FunctionName": "R", "Name": "live"}),
            ("AWS::Lambda::Version", function, {"FunctionName": {"Ref": "R"}}, None, "lambda", "delete_function", {"FunctionName": "Of"}),
        ):
            with self.subTest(kind):
                name = "to-" + kind.rpartition(":")[2]
                physical_ids = {"R": self.create(name, json.dumps({"Resources": {"R": base, "Of": {"Type": kind, "Properties": properties}}}))}
                stack_id = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
                of = self.cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="Of")["StackResourceDetail"]
                physical_ids["Of"] = of["PhysicalResourceId"]
                getattr(client(service), operation)(**{n: physical_ids.get(v, v) for n, v in parameters.items()})
                if change is not None:
                    changed = {"R": base, "Of": {"Type": kind, "Properties": dict(properties, **change)}}
                    self.cloudformation.update_stack(StackName=name, TemplateBody=json.dumps({"Resources": changed}))
                    events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
                    self.assertIn(("Of", "UPDATE_FAILED"), [(one["LogicalResourceId"], one["ResourceStatus"]) for one in events])
                self.cloudformation.delete_stack(StackName=name)
                self.assertEqual(self.status(stack_id), "DELETE_COMPLETE")
