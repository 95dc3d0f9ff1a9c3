"""CloudFormation: every parameter of an operation has an effect, or the request is refused."""

from __future__ import annotations

import json
import unittest
from typing import Any
from unittest import mock

from cloudformation import api
from tests.service import REGION, client, refusal

IAM = ["CAPABILITY_NAMED_IAM"]
WAIT = {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 1}}
BAD = {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 9999}}


def queue(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def body(**resources: Any) -> str:
    return json.dumps({"Resources": resources})


class StackTest(unittest.TestCase):
    def setUp(self) -> None:
        self.cfn = client("cloudformation")
        self.name = self.id().rpartition(".")[2].replace("_", "-")

    def create(self, template: str, **more: Any) -> str:
        self.addCleanup(self.cfn.delete_stack, StackName=self.name)
        return self.cfn.create_stack(StackName=self.name, TemplateBody=template, Capabilities=IAM, **more)["StackId"]

    def update(self, template: str, **more: Any) -> None:
        self.cfn.update_stack(StackName=self.name, TemplateBody=template, Capabilities=IAM, **more)

    def stack(self, name: str = "") -> dict[str, Any]:
        return self.cfn.describe_stacks(StackName=name or self.name)["Stacks"][0]

    def status(self, name: str = "") -> str:
        return self.stack(name)["StackStatus"]

    def physical_id(self, name: str = "R") -> str:
        return self.cfn.describe_stack_resource(StackName=self.name, LogicalResourceId=name)["StackResourceDetail"]["PhysicalResourceId"]

    def delay(self, name: str = "R") -> str:
        attributes = client("sqs").get_queue_attributes(QueueUrl=self.physical_id(name), AttributeNames=["DelaySeconds"])
        return attributes["Attributes"]["DelaySeconds"]

    def statuses(self, name: str = "") -> list[tuple[str, str]]:
        events = self.cfn.describe_stack_events(StackName=name or self.name)["StackEvents"]
        return [(one["LogicalResourceId"], one["ResourceStatus"]) for one in reversed(events)]

    def put(self, key: str, template: str) -> str:
        if not any(one["Name"] == "templates" for one in client("s3").list_buckets()["Buckets"]):
            client("s3").create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": REGION})
        client("s3").put_object(Bucket="templates", Key=key, Body=template.encode())
        return f"https://templates.s3.{REGION}.amazonaws.com/{key}"

    def nested(self, template: str, **parameters: Any) -> dict[str, Any]:
        url = self.put(self.name, template)
        return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url, "Parameters": parameters} if parameters else {"TemplateURL": url}}


class TestCreation(StackTest):
    def test_termination_protection(self) -> None:
        self.create(body(N=self.nested(body(R=queue()))), EnableTerminationProtection=True)
        child = self.physical_id("N")
        for name in (self.name, child):
            self.assertIn("while TerminationProtection is enabled", refusal(self.cfn.delete_stack, StackName=name)[1])
        self.assertIn("change it on its root", refusal(self.cfn.update_termination_protection, StackName=child, EnableTerminationProtection=False)[1])
        self.cfn.update_termination_protection(StackName=self.name, EnableTerminationProtection=False)
        self.assertFalse(self.stack()["EnableTerminationProtection"])
        self.cfn.delete_stack(StackName=self.name)
        self.assertEqual(refusal(self.cfn.describe_stacks, StackName=self.name)[0], "ValidationError")

    def test_on_failure(self) -> None:
        for settings, want in (({}, "ROLLBACK_COMPLETE"), ({"OnFailure": "DELETE"}, "DELETE_COMPLETE"), ({"OnFailure": "DO_NOTHING"}, "CREATE_FAILED"),
                               ({"DisableRollback": True}, "CREATE_FAILED"), ({"DisableRollback": False}, "ROLLBACK_COMPLETE")):
            with self.subTest(settings):
                stack_id = self.create(body(A=queue(), R=dict(BAD, DependsOn="A")), **settings)
                self.assertEqual(self.status(stack_id), want)
                self.cfn.delete_stack(StackName=stack_id)
        self.assertIn("not both", refusal(self.create, template=body(R=queue()), OnFailure="DELETE", DisableRollback=True)[1])

    def test_retain_except_on_create(self) -> None:
        for flag, want in ((False, 1), (True, 0)):
            with self.subTest(flag):
                kept = dict(queue(QueueName=f"kept-{flag}"), DeletionPolicy="Retain")
                stack_id = self.create(body(A=kept, R=dict(BAD, DependsOn="A")), RetainExceptOnCreate=flag)
                self.assertEqual(len(client("sqs").list_queues(QueueNamePrefix=f"kept-{flag}").get("QueueUrls", [])), want)
                self.cfn.delete_stack(StackName=stack_id)

    def test_retain_except_on_create_reaches_nested_stacks(self) -> None:
        for flag, want in ((False, 1), (True, 0)):
            with self.subTest(flag):
                nested = self.nested(body(A=dict(queue(QueueName=f"nested-kept-{flag}"), DeletionPolicy="Retain")))
                stack_id = self.create(body(N=nested, R=dict(BAD, DependsOn="N")), RetainExceptOnCreate=flag)
                self.assertEqual(len(client("sqs").list_queues(QueueNamePrefix=f"nested-kept-{flag}").get("QueueUrls", [])), want)
                self.cfn.delete_stack(StackName=stack_id)

    def test_a_request_with_the_same_token_is_the_same_request(self) -> None:
        first = self.create(body(R=queue()), ClientRequestToken="token")
        self.assertEqual(self.create(body(R=queue()), ClientRequestToken="token"), first)
        self.assertEqual(refusal(self.create, template=body(R=queue()), ClientRequestToken="other")[0], "AlreadyExistsException")
        self.assertEqual(self.cfn.describe_stack_events(StackName=self.name)["StackEvents"][0]["ClientRequestToken"], "token")

    def test_role(self) -> None:
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        role = client("iam").create_role(RoleName="cloudformation-role", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        other = client("iam").create_role(RoleName="other-role", AssumeRolePolicyDocument=json.dumps({"Statement": []}))["Role"]["Arn"]
        for refused in (other, role + "-none"):
            self.assertIn("cannot be assumed", refusal(self.create, template=body(R=queue()), RoleARN=refused)[1])
        self.create(body(R=queue()), RoleARN=role)
        self.assertEqual(self.stack()["RoleARN"], role)
        self.update(body(R=queue(DelaySeconds=1)))
        self.assertEqual(self.stack()["RoleARN"], role)

    def test_resource_types(self) -> None:
        self.assertIn("not allowed", refusal(self.create, template=body(R=queue()), ResourceTypes=["AWS::SNS::*"])[1])
        self.create(body(R=queue()), ResourceTypes=["AWS::SQS::*"])

    def test_events_go_to_topics(self) -> None:
        topic = client("sns").create_topic(Name="stack-events")["TopicArn"]
        url = client("sqs").create_queue(QueueName="stack-events")["QueueUrl"]
        client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:stack-events")
        self.assertIn("SNS topic", refusal(self.create, template=body(R=queue()), NotificationARNs=[topic + "-none"])[1])
        self.create(body(R=queue()), NotificationARNs=[topic])
        self.assertEqual(self.stack()["NotificationARNs"], [topic])
        got = [json.loads(one["Body"])["Message"] for one in client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]]
        self.assertEqual(sum("ResourceStatus='CREATE_COMPLETE'" in one for one in got), 2)

    def test_timeout(self) -> None:
        self.create(body(R=queue()), TimeoutInMinutes=5)
        self.assertEqual(self.stack()["TimeoutInMinutes"], 5)
        self.assertEqual(refusal(self.create, template=body(R=queue()), TimeoutInMinutes=0)[0], "ValidationError")

    def test_what_is_not_done_is_refused(self) -> None:
        trigger = {"RollbackTriggers": [{"Arn": "arn:aws:cloudwatch:r:1:alarm:a", "Type": "AWS::CloudWatch::Alarm"}]}
        code, message = refusal(self.create, template=body(R=queue()), RollbackConfiguration=trigger)
        self.assertEqual((code, message), ("ValidationError", "Local AWS does not do RollbackConfiguration of CreateStack."))
        self.create(body(R=queue()), RollbackConfiguration={"RollbackTriggers": []})
        self.assertEqual(refusal(self.cfn.create_stack_set, StackSetName="s", TemplateBody=body(R=queue()))[0], "UnsupportedOperation")
        self.assertEqual(refusal(self.cfn.detect_stack_drift, StackName=self.name)[0], "UnsupportedOperation")
        self.assertIn("cannot be called", refusal(self.cfn.cancel_update_stack, StackName=self.name)[1])

    def test_what_is_not_done_of_a_template_is_refused(self) -> None:
        for more, message in (
            ({"Transform": "AWS::LanguageExtensions"}, "does not do Transform"), ({"Globals": {}}, "Invalid template property or properties [Globals]"),
            ({"Resources": {"R": dict(queue(), CreationPolicy={})}}, "does not do CreationPolicy"), ({"Resources": {"R": dict(queue(), Depends="x")}}, "'Depends'"),
            ({"Resources": {"R": dict(queue(), DeletionPolicy="Snapshot")}}, "does not support DeletionPolicy Snapshot"),
            ({"Resources": {"R": {"Type": "AWS::EC2::Instance"}}}, "Unrecognized resource types"),
        ):
            with self.subTest(more):
                code, said = refusal(self.create, template=json.dumps(dict({"Resources": {"R": queue()}}, **more)))
                self.assertEqual(code, "ValidationError")
                self.assertIn(message, said)

    def test_what_is_not_done_of_a_resource_fails(self) -> None:
        for kind, properties in (
            ("AWS::Logs::LogGroup", {"LogGroupClass": "INFREQUENT_ACCESS"}), ("AWS::SNS::Topic", {"DataProtectionPolicy": {}}), ("AWS::SQS::Queue", {"Fifo": True}),
            ("AWS::S3::Bucket", {"WebsiteConfiguration": {}}), ("AWS::KMS::Key", {"KeyPolicy": {}, "MultiRegion": True}),
        ):
            with self.subTest(kind):
                stack_id = self.create(body(R={"Type": kind, "Properties": properties}))
                self.assertEqual(self.status(stack_id), "ROLLBACK_COMPLETE")
                self.cfn.delete_stack(StackName=stack_id)

    def test_versions_of_objects(self) -> None:
        url = self.put("versioned", body(R=queue(DelaySeconds=1)))
        client("s3").put_bucket_versioning(Bucket="templates", VersioningConfiguration={"Status": "Enabled"})
        old = client("s3").put_object(Bucket="templates", Key="versioned", Body=body(R=queue(DelaySeconds=2)).encode())["VersionId"]
        self.put("versioned", body(R=queue(DelaySeconds=3)))
        self.addCleanup(self.cfn.delete_stack, StackName=self.name)
        self.cfn.create_stack(StackName=self.name, TemplateURL=f"{url}?versionId={old}")
        self.assertEqual(self.delay(), "2")

    def test_exports(self) -> None:
        def template(name: str) -> str:
            return json.dumps({"Resources": {"R": queue()}, "Outputs": {"O": {"Value": "v", "Export": {"Name": name}}}})

        self.create(template("exported"))
        self.assertIn(("exported", "v"), [(one["Name"], one["Value"]) for one in self.cfn.list_exports()["Exports"]])
        other = self.cfn.create_stack(StackName=self.name + "-2", TemplateBody=template("exported"))["StackId"]
        self.assertEqual(self.status(other), "ROLLBACK_COMPLETE")


class TestTags(StackTest):
    def test_every_type_gets_the_tags_of_the_stack(self) -> None:
        policy = {"Version": "2012-10-17",
                  "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        client("s3").create_bucket(Bucket="tagged-code", CreateBucketConfiguration={"LocationConstraint": REGION})
        client("s3").put_object(Bucket="tagged-code", Key="f.zip", Body=b"PK\x05\x06" + bytes(18))
        table = {"KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}], "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
                 "BillingMode": "PAY_PER_REQUEST"}
        alarm = {"Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1,
                 "ComparisonOperator": "GreaterThanThreshold"}
        resources = {
            "Queue": queue(Tags=[{"Key": "own", "Value": "1"}]),
            "Table": {"Type": "AWS::DynamoDB::Table", "Properties": table},
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": policy}},
            "Group": {"Type": "AWS::Logs::LogGroup"},
            "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": policy}},
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
            "Function": {"Type": "AWS::Lambda::Function", "Properties": {
                "Code": {"S3Bucket": "tagged-code", "S3Key": "f.zip"}, "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Handler": "h", "Runtime": "provided.al2023"}},
            "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
                "Definition": {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}, "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}}},
            "Nested": self.nested(body(R=queue())),
        }
        readers = {
            "Queue": lambda i: client("sqs").list_queue_tags(QueueUrl=i)["Tags"],
            "Table": lambda i: client("dynamodb").list_tags_of_resource(ResourceArn=f"arn:aws:dynamodb:{REGION}:123456789012:table/{i}")["Tags"],
            "Topic": lambda i: client("sns").list_tags_for_resource(ResourceArn=i)["Tags"],
            "Role": lambda i: client("iam").list_role_tags(RoleName=i)["Tags"],
            "Group": lambda i: client("logs").list_tags_for_resource(resourceArn=f"arn:aws:logs:{REGION}:123456789012:log-group:{i}")["tags"],
            "Key": lambda i: [{"Key": one["TagKey"], "Value": one["TagValue"]} for one in client("kms").list_resource_tags(KeyId=i)["Tags"]],
            "Bucket": lambda i: client("s3").get_bucket_tagging(Bucket=i)["TagSet"],
            "Alarm": lambda i: client("cloudwatch").list_tags_for_resource(ResourceARN=f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:{i}")["Tags"],
            "Function": lambda i: client("lambda").list_tags(Resource=f"arn:aws:lambda:{REGION}:123456789012:function:{i}")["Tags"],
            "Machine": lambda i: [{"Key": t["key"], "Value": t["value"]} for t in client("stepfunctions").list_tags_for_resource(resourceArn=i)["tags"]],
            "Nested": lambda i: self.stack(i)["Tags"],
        }
        self.assertEqual(set(readers), set(resources))

        def expect(want: dict[str, str]) -> None:
            for name, read in readers.items():
                with self.subTest(name, want=want):
                    found = read(self.physical_id(name))
                    found = found if isinstance(found, dict) else {one["Key"]: one["Value"] for one in found}
                    self.assertEqual(found, dict(want, own="1") if name == "Queue" else want)

        template = json.dumps({"Resources": resources})
        self.create(template, Tags=[{"Key": "team", "Value": "a"}, {"Key": "old", "Value": "x"}])
        self.assertEqual(self.status(), "CREATE_COMPLETE", self.statuses())
        expect({"team": "a", "old": "x"})
        self.update(template, Tags=[{"Key": "team", "Value": "b"}])
        self.assertEqual(self.status(), "UPDATE_COMPLETE", [one.get("ResourceStatusReason") for one in self.cfn.describe_stack_events(StackName=self.name)["StackEvents"]])
        expect({"team": "b"})
        self.assertEqual(refusal(self.update, template=template)[1], "No updates are to be performed.")  # no tags: the same tags

    def test_reserved_and_too_many_tags_are_refused(self) -> None:
        for tags in ([{"Key": "aws:x", "Value": "1"}], [{"Key": str(n), "Value": "1"} for n in range(51)]):
            self.assertEqual(refusal(self.create, template=body(R=queue()), Tags=tags)[0], "ValidationError")


class TestUpdate(StackTest):
    def test_without_rollback_the_changes_stay_and_can_be_rolled_back_later(self) -> None:
        self.create(body(A=queue(DelaySeconds=1), R=queue(DelaySeconds=1)))
        broken = body(A=queue(DelaySeconds=2), R=dict(queue(DelaySeconds=9999), DependsOn="A"))
        self.update(broken, DisableRollback=True)
        self.assertEqual((self.status(), self.delay("A"), self.delay("R")), ("UPDATE_FAILED", "2", "1"))
        self.assertIn("disable-rollback", refusal(self.update, template=broken)[1])
        self.cfn.rollback_stack(StackName=self.name)
        self.assertEqual((self.status(), self.delay("A"), self.delay("R")), ("UPDATE_ROLLBACK_COMPLETE", "1", "1"))
        self.assertIn("can not be rolled back", refusal(self.cfn.rollback_stack, StackName=self.name)[1])

    def test_without_rollback_the_update_can_go_on(self) -> None:
        self.create(body(A=queue(DelaySeconds=1)))
        self.update(body(A=queue(DelaySeconds=2), R=dict(BAD, DependsOn="A")), DisableRollback=True)
        self.update(body(A=queue(DelaySeconds=2), R=queue(DelaySeconds=3)), DisableRollback=True)
        self.assertEqual((self.status(), self.delay("A"), self.delay("R")), ("UPDATE_COMPLETE", "2", "3"))

    def test_a_creation_without_rollback_can_go_on_or_be_rolled_back(self) -> None:
        stack_id = self.create(body(A=queue(), R=dict(BAD, DependsOn="A")), DisableRollback=True)
        self.update(body(A=queue(), R=queue(DelaySeconds=3)), DisableRollback=True)
        self.assertEqual((self.status(), self.delay()), ("UPDATE_COMPLETE", "3"))
        self.cfn.delete_stack(StackName=self.name)
        stack_id = self.create(body(A=queue(), R=dict(BAD, DependsOn="A")), DisableRollback=True)
        self.cfn.rollback_stack(StackName=self.name)
        self.assertEqual(self.status(stack_id), "DELETE_COMPLETE")

    def test_a_nested_creation_without_rollback_can_go_on(self) -> None:
        self.create(body(N=self.nested(body(A=queue(), R=dict(BAD, DependsOn="A")))), DisableRollback=True)
        child = self.physical_id("N")
        self.assertEqual((self.status(), self.status(child)), ("CREATE_FAILED", "CREATE_FAILED"))
        self.update(body(N=self.nested(body(A=queue(), R=dict(BAD, DependsOn="A")))), DisableRollback=True)  # nothing is better
        self.assertEqual((self.status(), self.status(child)), ("UPDATE_FAILED", "UPDATE_FAILED"))
        self.update(body(N=self.nested(body(A=queue(), R=queue()))), DisableRollback=True)
        self.assertEqual((self.status(), self.status(child)), ("UPDATE_COMPLETE", "UPDATE_COMPLETE"))
        self.assertEqual(self.physical_id("N"), child)

    def test_a_deletion_policy_is_rolled_back(self) -> None:
        stack_id = self.create(body(A=queue(QueueName="rolled-back-policy")))
        self.update(body(A=dict(queue(QueueName="rolled-back-policy"), DeletionPolicy="Retain"), R=dict(BAD, DependsOn="A")))
        self.cfn.delete_stack(StackName=self.name)
        self.assertEqual(self.status(stack_id), "DELETE_COMPLETE")
        self.assertEqual(client("sqs").list_queues(QueueNamePrefix="rolled-back-policy").get("QueueUrls", []), [])

    def test_what_a_failed_update_created_in_nested_stacks_goes(self) -> None:
        self.create(body(A=queue()))
        inner = self.put("inner", body(K=dict(queue(QueueName="created-only"), DeletionPolicy="RetainExceptOnCreate")))
        outer = self.nested(body(I={"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": inner}}))
        self.update(body(A=queue(), N=outer, R=dict(BAD, DependsOn="N")))
        self.assertEqual(self.status(), "UPDATE_ROLLBACK_COMPLETE")
        self.assertEqual(client("sqs").list_queues(QueueNamePrefix="created-only").get("QueueUrls", []), [])

    def test_nested_stacks_pause_and_roll_back_with_their_root(self) -> None:
        self.create(body(N=self.nested(body(A=queue(DelaySeconds=1), R=queue(DelaySeconds=1)))))
        child = self.physical_id("N")
        nested = self.nested(body(A=queue(DelaySeconds=2), R=dict(BAD, DependsOn="A")))
        self.update(body(N=nested, X=queue()), DisableRollback=True)
        self.assertEqual((self.status(), self.status(child)), ("UPDATE_FAILED", "UPDATE_FAILED"))
        self.cfn.rollback_stack(StackName=self.name)
        self.assertEqual((self.status(), self.status(child)), ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"))
        url = self.cfn.describe_stack_resource(StackName=child, LogicalResourceId="A")["StackResourceDetail"]["PhysicalResourceId"]
        self.assertEqual(client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])["Attributes"]["DelaySeconds"], "1")

    def test_a_stuck_rollback_can_skip_resources(self) -> None:
        topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "a"}}
        self.create(body(A=topic, R=queue(DelaySeconds=1)))
        arn = self.physical_id("A")
        client("sns").delete_topic(TopicArn=arn)
        self.update(body(A={"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "b"}}, R=queue(DelaySeconds=1)))
        self.assertEqual(self.status(), "UPDATE_ROLLBACK_FAILED")
        self.assertIn("ResourcesToSkip has R", refusal(self.cfn.continue_update_rollback, StackName=self.name, ResourcesToSkip=["R"])[1])
        self.cfn.continue_update_rollback(StackName=self.name)
        self.assertEqual(self.status(), "UPDATE_ROLLBACK_FAILED")
        self.cfn.continue_update_rollback(StackName=self.name, ResourcesToSkip=["A"])
        self.assertEqual(self.status(), "UPDATE_ROLLBACK_COMPLETE")

    def test_a_nested_stack_that_was_deleted_by_hand(self) -> None:
        nested = self.nested(body(R=queue()))
        stack_id = self.create(body(N=nested))
        self.cfn.delete_stack(StackName=self.physical_id("N"))
        self.update(body(N=nested, X=queue()))
        self.assertRegex(self.status(), "UPDATE_ROLLBACK_")
        self.assertIn(("N", "UPDATE_FAILED"), self.statuses())
        self.cfn.delete_stack(StackName=self.name)
        self.assertEqual(self.status(stack_id), "DELETE_COMPLETE")

    def test_stack_policy(self) -> None:
        def policy(effect: str, action: str, resource: str) -> dict[str, Any]:
            return {"Effect": effect, "Action": action, "Principal": "*", "Resource": resource}

        text = json.dumps({"Statement": [policy("Allow", "Update:*", "*"), policy("Deny", "Update:Modify", "LogicalResourceId/R")]})
        self.create(body(R=queue(DelaySeconds=1), A=queue()), StackPolicyBody=text)
        self.assertEqual(self.cfn.get_stack_policy(StackName=self.name)["StackPolicyBody"], text)
        self.update(body(R=queue(DelaySeconds=2), A=queue()))
        self.assertEqual((self.status(), self.delay()), ("UPDATE_ROLLBACK_COMPLETE", "1"))
        self.update(body(R=queue(DelaySeconds=1)))  # deleting A is allowed
        self.assertEqual(self.status(), "UPDATE_COMPLETE")
        self.update(body(R=queue(DelaySeconds=2)), StackPolicyDuringUpdateBody=json.dumps({"Statement": policy("Allow", "Update:*", "*")}))
        self.assertEqual((self.status(), self.delay()), ("UPDATE_COMPLETE", "2"))
        self.cfn.set_stack_policy(StackName=self.name, StackPolicyBody=json.dumps({"Statement": [policy("Allow", "Update:Modify", "*")]}))
        self.update(body(R=queue(DelaySeconds=2, QueueName="another")))
        self.assertEqual(self.status(), "UPDATE_ROLLBACK_COMPLETE")
        kept = json.dumps({"Statement": [policy("Allow", "Update:*", "*"), policy("Deny", "Update:Delete", "*")]})
        self.cfn.set_stack_policy(StackName=self.name, StackPolicyBody=kept)
        self.update(body(New=queue()))
        self.assertEqual((self.status(), self.delay()), ("UPDATE_ROLLBACK_COMPLETE", "2"))
        self.assertIn("Invalid stack policy", refusal(self.cfn.set_stack_policy, StackName=self.name, StackPolicyBody='{"Statement": [{}]}')[1])


    def test_a_permissions_boundary(self) -> None:
        def role(**more: Any) -> str:
            trust = {"Version": "2012-10-17",
                     "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
            return body(R={"Type": "AWS::IAM::Role", "Properties": dict({"AssumeRolePolicyDocument": trust, "RoleName": "bounded"}, **more)})

        def boundary() -> str | None:
            return client("iam").get_role(RoleName="bounded")["Role"].get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")

        self.create(role(PermissionsBoundary="arn:aws:iam::123456789012:policy/a"))
        self.assertEqual(boundary(), "arn:aws:iam::123456789012:policy/a")
        self.update(role(PermissionsBoundary="arn:aws:iam::123456789012:policy/b"))
        self.assertEqual(boundary(), "arn:aws:iam::123456789012:policy/b")
        self.update(role())
        self.assertIsNone(boundary())


class TestDeletion(StackTest):
    def failed(self) -> str:
        bucket = {"Type": "AWS::S3::Bucket"}
        stack_id = self.create(body(B=bucket, R=queue()))
        client("s3").put_object(Bucket=self.physical_id("B"), Key="k", Body=b"")
        self.assertIn("DELETE_FAILED state", refusal(self.cfn.delete_stack, StackName=self.name, RetainResources=["B"])[1])
        self.cfn.delete_stack(StackName=self.name)
        self.assertEqual(self.status(), "DELETE_FAILED")
        return stack_id

    def test_retained_resources_stay(self) -> None:
        stack_id = self.failed()
        bucket = self.physical_id("B")
        self.assertIn("do not exist", refusal(self.cfn.delete_stack, StackName=self.name, RetainResources=["R"])[1])
        self.cfn.delete_stack(StackName=self.name, RetainResources=["B"])
        self.assertEqual(self.status(stack_id), "DELETE_COMPLETE")
        self.assertIn(("B", "DELETE_SKIPPED"), self.statuses(stack_id))
        client("s3").head_bucket(Bucket=bucket)

    def test_force(self) -> None:
        stack_id = self.failed()
        self.cfn.delete_stack(StackName=self.name, DeletionMode="FORCE_DELETE_STACK")
        self.assertEqual(self.status(stack_id), "DELETE_COMPLETE")


class TestChangeSets(StackTest):
    template = json.dumps({
        "Parameters": {"Delay": {"Type": "Number", "Default": 1}, "Name": {"Type": "String", "Default": "change-set-queue"}},
        "Resources": {
            "R": queue(DelaySeconds={"Ref": "Delay"}, QueueName={"Ref": "Name"}),
            "P": {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": [{"Ref": "R"}], "PolicyDocument": {"Version": "2012-10-17", "Statement": []}}},
            "Gone": dict(queue(), DeletionPolicy="Retain"),
        }})

    def make(self, template: str, name: str = "c", **more: Any) -> dict[str, Any]:
        self.addCleanup(self.cfn.delete_stack, StackName=self.name)
        self.cfn.create_change_set(StackName=self.name, ChangeSetName=name, TemplateBody=template, Capabilities=IAM, **more)
        return self.cfn.describe_change_set(StackName=self.name, ChangeSetName=name)

    def changes(self, made: dict[str, Any]) -> list[tuple[Any, ...]]:
        found = [one["ResourceChange"] for one in made["Changes"]]
        return [(one["Action"], one["LogicalResourceId"], one.get("Replacement"), one.get("PolicyAction")) for one in found]

    def test_what_a_creation_adds(self) -> None:
        made = self.make(self.template, ChangeSetType="CREATE", Description="first")
        self.assertEqual((made["Status"], made["Description"], self.status()), ("CREATE_COMPLETE", "first", "REVIEW_IN_PROGRESS"))
        self.assertEqual(sorted(self.changes(made)), [("Add", "Gone", None, None), ("Add", "P", None, None), ("Add", "R", None, None)])
        self.cfn.execute_change_set(StackName=self.name, ChangeSetName="c")
        self.assertEqual(self.status(), "CREATE_COMPLETE")

    def test_what_an_update_changes_and_why(self) -> None:
        self.create(self.template)
        values = [{"ParameterKey": "Delay", "ParameterValue": "2"}]
        changed = json.loads(self.template)
        del changed["Resources"]["Gone"]
        changed["Resources"]["New"] = {"Type": "AWS::SNS::Topic"}
        made = self.make(json.dumps(changed), Parameters=values)
        self.assertEqual(sorted(self.changes(made)), [("Add", "New", None, None), ("Modify", "R", "False", None), ("Remove", "Gone", None, "Retain")])
        detail = next(one["ResourceChange"] for one in made["Changes"] if one["ResourceChange"]["LogicalResourceId"] == "R")["Details"][0]
        self.assertEqual(detail, {"Target": {"Attribute": "Properties", "Name": "DelaySeconds", "RequiresRecreation": "Never"},
                                  "Evaluation": "Static", "ChangeSource": "ParameterReference", "CausingEntity": "Delay"})
        self.assertEqual(self.delay(), "1")
        self.cfn.execute_change_set(StackName=self.name, ChangeSetName="c")
        self.assertEqual((self.status(), self.delay()), ("UPDATE_COMPLETE", "2"))
        self.assertEqual(self.cfn.describe_change_set(StackName=self.name, ChangeSetName="c")["ExecutionStatus"], "EXECUTE_COMPLETE")
        self.assertEqual(refusal(self.cfn.execute_change_set, StackName=self.name, ChangeSetName="c")[0], "InvalidChangeSetStatus")

    def test_a_replacement_and_what_refers_to_it(self) -> None:
        self.create(self.template.replace("change-set-queue", "replaced-queue"))
        made = self.make(self.template, Parameters=[{"ParameterKey": "Name", "ParameterValue": "replacing-queue"}])
        self.assertEqual(sorted(self.changes(made)), [("Modify", "P", "False", None), ("Modify", "R", "True", "ReplaceAndDelete")])
        details = {one["ResourceChange"]["LogicalResourceId"]: one["ResourceChange"]["Details"] for one in made["Changes"]}
        self.assertEqual([(one["Evaluation"], one.get("CausingEntity")) for one in details["P"]], [("Dynamic", "R")])
        values = self.cfn.describe_change_set(StackName=self.name, ChangeSetName="c", IncludePropertyValues=True)["Changes"]
        target = next(one["ResourceChange"] for one in values if one["ResourceChange"]["LogicalResourceId"] == "R")["Details"][0]["Target"]
        self.assertEqual((target["BeforeValue"], target["AfterValue"]), ("replaced-queue", "replacing-queue"))

    def test_without_changes_it_fails(self) -> None:
        self.create(self.template.replace("change-set-queue", "no-changes"))
        made = self.make(self.template.replace("change-set-queue", "no-changes"))
        self.assertEqual((made["Status"], made["ExecutionStatus"], made["Changes"]), ("FAILED", "UNAVAILABLE", []))
        self.assertIn("didn't contain changes", made["StatusReason"])
        self.assertEqual(refusal(self.cfn.execute_change_set, StackName=self.name, ChangeSetName="c")[0], "InvalidChangeSetStatus")

    def test_nested_stacks(self) -> None:
        template = json.dumps({"Parameters": {"Delay": {"Type": "Number"}}, "Resources": {"R": queue(DelaySeconds={"Ref": "Delay"})}})
        same = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": self.put("same", body(R=queue()))}}
        self.create(body(N=self.nested(template, Delay="1"), Same=same))
        changed = body(N=self.nested(template, Delay="2"), Same=same)
        made = self.make(changed)
        self.assertEqual(sorted(self.changes(made)), [("Modify", "N", "False", None), ("Modify", "Same", "False", None)])
        automatic = next(one["ResourceChange"] for one in made["Changes"] if one["ResourceChange"]["LogicalResourceId"] == "Same")["Details"][0]
        self.assertEqual((automatic["Evaluation"], automatic["ChangeSource"]), ("Dynamic", "Automatic"))
        made = self.make(changed, "nested", IncludeNestedStacks=True)
        self.assertEqual(self.changes(made), [("Modify", "N", "False", None)])
        child = self.cfn.describe_change_set(ChangeSetName=made["Changes"][0]["ResourceChange"]["ChangeSetId"])
        self.assertEqual(self.changes(child), [("Modify", "R", "False", None)])
        self.assertEqual((child["ParentChangeSetId"], child["RootChangeSetId"]), (made["ChangeSetId"], made["ChangeSetId"]))
        self.assertIn("root stack", refusal(self.cfn.execute_change_set, ChangeSetName=child["ChangeSetId"])[1])
        self.cfn.execute_change_set(StackName=self.name, ChangeSetName="nested")
        self.assertEqual(self.status(), "UPDATE_COMPLETE")
        self.assertEqual([one["ChangeSetName"] for one in self.cfn.list_change_sets(StackName=self.name)["Summaries"]], ["nested"])

    def test_deleting_one(self) -> None:
        self.create(self.template.replace("change-set-queue", "deleted-set"))
        made = self.make(self.template, Parameters=[{"ParameterKey": "Delay", "ParameterValue": "2"}])
        self.assertEqual(refusal(self.make, template=self.template)[0], "AlreadyExistsException")
        self.cfn.delete_change_set(StackName=self.name, ChangeSetName="c")
        self.cfn.delete_change_set(StackName=self.name, ChangeSetName="c")
        self.assertEqual(refusal(self.cfn.describe_change_set, StackName=self.name, ChangeSetName="c")[0], "ChangeSetNotFound")
        self.assertEqual(self.cfn.list_change_sets(StackName=self.name)["Summaries"], [])
        self.assertTrue(made["ChangeSetId"].startswith("arn:aws:cloudformation:"))

    def test_settings(self) -> None:
        self.create(body(A=queue(DelaySeconds=1), R=queue(DelaySeconds=1)))
        broken = body(A=queue(DelaySeconds=2), R=dict(queue(DelaySeconds=9999), DependsOn="A"))
        self.make(broken)
        self.cfn.execute_change_set(StackName=self.name, ChangeSetName="c", DisableRollback=True)
        self.assertEqual((self.status(), self.delay("A")), ("UPDATE_FAILED", "2"))
        self.cfn.rollback_stack(StackName=self.name)
        self.make(broken, "d", OnStackFailure="DO_NOTHING", Tags=[{"Key": "k", "Value": "v"}])
        self.cfn.execute_change_set(StackName=self.name, ChangeSetName="d")
        self.assertEqual((self.status(), self.stack()["Tags"]), ("UPDATE_FAILED", [{"Key": "k", "Value": "v"}]))
        self.assertIn("only with ChangeSetType CREATE", refusal(self.make, template=broken, name="e", OnStackFailure="DELETE")[1])
        for more in ({"ChangeSetType": "IMPORT"}, {"ImportExistingResources": True}):
            self.assertIn("Local AWS does not do", refusal(self.make, template=broken, name="e", **more)[1])


class TestReading(StackTest):
    def test_pages_of_stacks(self) -> None:
        names = [f"{self.name}-{n}" for n in range(3)]
        for name in names:
            self.addCleanup(self.cfn.delete_stack, StackName=name)
            self.cfn.create_stack(StackName=name, TemplateBody=body(R={"Type": "AWS::SNS::Topic"}))
        with mock.patch.object(api, "STACKS_OF_A_PAGE", 2):
            pages = [page["Stacks"] for page in self.cfn.get_paginator("describe_stacks").paginate()]
        self.assertEqual(len(pages[0]), 2)
        self.assertLessEqual(set(names), {one["StackName"] for page in pages for one in page})
        self.assertEqual(refusal(self.cfn.describe_stacks, NextToken="x")[0], "ValidationError")

    def test_templates(self) -> None:
        template = json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Description": "d", "Metadata": {"m": 1}, "Resources": {"R": queue()},
                               "Parameters": {"P": {"Type": "String", "AllowedValues": ["a", "b"], "Default": "a"}}})
        self.create(template)
        summary = self.cfn.get_template_summary(StackName=self.name)
        self.assertEqual(summary["Parameters"][0]["ParameterConstraints"], {"AllowedValues": ["a", "b"]})
        self.assertEqual((summary["Metadata"], summary["Description"], summary["ResourceTypes"]), ('{"m": 1}', "d", ["AWS::SQS::Queue"]))
        got = self.cfn.get_template(StackName=self.name, TemplateStage="Processed")
        self.assertEqual((got["TemplateBody"], got["StagesAvailable"]), (json.loads(template), ["Original", "Processed"]))
        self.assertEqual(self.cfn.validate_template(TemplateBody=template)["Description"], "d")

    def test_resources(self) -> None:
        self.create(body(A=queue(), R=queue()))
        found = self.cfn.describe_stack_resources(PhysicalResourceId=self.physical_id())["StackResources"]
        self.assertEqual([one["LogicalResourceId"] for one in found], ["A", "R"])
        found = self.cfn.describe_stack_resources(StackName=self.name, LogicalResourceId="R")["StackResources"]
        self.assertEqual([one["LogicalResourceId"] for one in found], ["R"])
        self.assertIn("does not exist", refusal(self.cfn.describe_stack_resource, StackName=self.name, LogicalResourceId="X")[1])
