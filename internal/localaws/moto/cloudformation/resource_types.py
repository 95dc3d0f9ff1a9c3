"""CloudFormation, resource types: those of Carnation's templates.

moto 5.2.1 has no queue policy, topic policy, subscription or alarm, forgets most settings of a bucket, deletes a nested stack to update it, does not read
DefinitionS3Location, and drops most of what says how a resource encrypts, logs, traces or keeps. AWS sets every property,
and an update clears what the template does not say any more.
"""

import json
import uuid

import botocore.exceptions

from clients import own_client
from cloudformation.resource_handler import Failure, Handler, first_lower, resource_type, tag_map
from cloudformation.templates import template_at, text_of


@resource_type("AWS::CloudFormation::Stack")
class NestedStack(Handler):
    def child(self, physical_id):
        return self.stack.backend.stacks[physical_id]

    def parameters(self, properties):
        return {name: text_of(value) for name, value in properties.get("Parameters", {}).items()}

    def attributes(self, child):
        return {"Outputs." + o["OutputKey"]: o["OutputValue"] for o in child.outputs or []}

    def create(self, properties):
        text = template_at(properties["TemplateURL"], self.region)
        name = "%s-%s-%s" % (self.stack.name, self.logical_id, uuid.uuid4().hex[:12].upper())
        child = self.stack.make_child(name, text, self.parameters(properties), tag_map(properties.get("Tags")))
        child.create()
        if child.status != "CREATE_COMPLETE":
            raise Failure("Embedded stack %s was not successfully created: %s" % (child.stack_id, child.failure), child.stack_id)
        return child.stack_id, self.attributes(child)

    def update(self, physical_id, old, new, text=None):
        child = self.child(physical_id)
        text = text or template_at(new["TemplateURL"], self.region)
        child.update(text, self.parameters(new))
        if child.status != "UPDATE_COMPLETE":
            raise Failure("Embedded stack %s was not successfully updated: %s" % (physical_id, child.failure))
        return self.attributes(child)

    def delete(self, physical_id, properties):
        if physical_id in self.stack.backend.stacks:
            self.stack.backend.delete_stack(physical_id)
            child = self.stack.backend.get_stack(physical_id)
            if child.status != "DELETE_COMPLETE":
                raise Failure("Embedded stack %s was not successfully deleted: %s" % (physical_id, child.failure))


@resource_type("AWS::SQS::Queue")
class Queue(Handler):
    service = "sqs"
    name_property = "QueueName"
    replaced_by = ("QueueName", "FifoQueue")
    defaults = {
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0",
        "VisibilityTimeout": "30",
        "RedrivePolicy": "",
        "RedriveAllowPolicy": "",
        "KmsMasterKeyId": "",
        "KmsDataKeyReusePeriodSeconds": "300",
        "SqsManagedSseEnabled": "true",
    }

    def api_attributes(self, properties):
        known = set(self.defaults) | {"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}
        unknown = set(properties) - known - {"QueueName", "Tags"}
        if unknown:
            raise Failure("Properties validation failed: extraneous key [%s] is not permitted" % ", ".join(sorted(unknown)))
        return {n: v if isinstance(v, dict) else text_of(v) for n, v in properties.items() if n in known}

    def create(self, properties):
        name = self.name(properties)
        self.refuse_existing(name, "get_queue_url", QueueName=name)
        url = self.call(
            "create_queue", QueueName=name, Attributes=self.api_attributes(properties), tags=tag_map(properties.get("Tags"))
        )["QueueUrl"]
        return url, {"Arn": self.arn("sqs", name), "QueueName": name, "QueueUrl": url}

    def update(self, physical_id, old, new):
        wanted = self.api_attributes(new)
        removed = {name: self.defaults[name] for name in self.api_attributes(old) if name not in wanted}
        self.call("set_queue_attributes", QueueUrl=physical_id, Attributes=dict(removed, **wanted))
        name = physical_id.rsplit("/", 1)[1]
        return {"Arn": self.arn("sqs", name), "QueueName": name, "QueueUrl": physical_id}

    def delete(self, physical_id, properties):
        if self.exists("get_queue_attributes", QueueUrl=physical_id, AttributeNames=["QueueArn"]):
            self.call("delete_queue", QueueUrl=physical_id)


class PolicyOfOthers(Handler):
    """A resource that is a policy on queues or topics: it has nothing of its own to make or delete."""

    targets = None

    def put(self, target, document):
        raise NotImplementedError

    def put_all(self, properties, document):
        for target in properties[self.targets]:
            self.put(target, document)

    def create(self, properties):
        self.put_all(properties, properties["PolicyDocument"])
        physical_id = self.name({})
        return physical_id, {"Id": physical_id}

    def update(self, physical_id, old, new):
        gone = [target for target in old[self.targets] if target not in new[self.targets]]
        self.delete(physical_id, {self.targets: gone})
        self.put_all(new, new["PolicyDocument"])
        return {"Id": physical_id}

    def delete(self, physical_id, properties):
        for target in properties[self.targets]:
            try:
                self.put(target, "")
            except botocore.exceptions.ClientError:
                pass  # the queue or topic is gone, and its policy with it


@resource_type("AWS::SQS::QueuePolicy")
class QueuePolicy(PolicyOfOthers):
    service = "sqs"
    targets = "Queues"

    def put(self, target, document):
        self.call("set_queue_attributes", QueueUrl=target, Attributes={"Policy": document})


@resource_type("AWS::SNS::TopicPolicy")
class TopicPolicy(PolicyOfOthers):
    service = "sns"
    targets = "Topics"

    def put(self, target, document):
        if document:
            self.call("set_topic_attributes", TopicArn=target, AttributeName="Policy", AttributeValue=document)


@resource_type("AWS::SNS::Topic")
class Topic(Handler):
    service = "sns"
    name_property = "TopicName"
    replaced_by = ("TopicName", "FifoTopic")

    def api_attributes(self, properties):
        return {n: v for n, v in properties.items() if n not in ("TopicName", "Tags", "Subscription", "DataProtectionPolicy")}

    def create(self, properties):
        name = self.name(properties, 256)
        arn = self.arn("sns", name)
        self.refuse_existing(name, "get_topic_attributes", TopicArn=arn)
        attributes, tags = self.api_attributes(properties), properties.get("Tags", [])
        self.call("create_topic", Name=name, Attributes=attributes, Tags=tags)
        for one in properties.get("Subscription", []):
            self.call("subscribe", TopicArn=arn, **one)
        return arn, {"TopicArn": arn, "TopicName": name}

    def update(self, physical_id, old, new):
        wanted = self.api_attributes(new)
        for name in set(self.api_attributes(old)) | set(wanted):
            self.call("set_topic_attributes", TopicArn=physical_id, AttributeName=name, AttributeValue=wanted.get(name, ""))
        return {"TopicArn": physical_id, "TopicName": physical_id.rsplit(":", 1)[1]}

    def delete(self, physical_id, properties):
        pages = own_client("sns", self.region).get_paginator("list_subscriptions_by_topic").paginate(TopicArn=physical_id)
        for page in pages:
            for one in page["Subscriptions"]:
                self.call("unsubscribe", SubscriptionArn=one["SubscriptionArn"])
        self.call("delete_topic", TopicArn=physical_id)


@resource_type("AWS::SNS::Subscription")
class Subscription(Handler):
    service = "sns"
    replaced_by = ("TopicArn", "Protocol", "Endpoint")

    def create(self, properties):
        settings = {n: v for n, v in properties.items() if n not in ("TopicArn", "Protocol", "Endpoint", "Region")}
        main = {n: v for n, v in properties.items() if n in ("TopicArn", "Protocol", "Endpoint")}
        arn = self.call("subscribe", Attributes=settings, ReturnSubscriptionArn=True, **main)["SubscriptionArn"]
        return arn, {"Arn": arn}

    def update(self, physical_id, old, new):
        for name in (set(old) | set(new)) - {"TopicArn", "Protocol", "Endpoint", "Region"}:
            self.call("set_subscription_attributes", SubscriptionArn=physical_id,
                      AttributeName=name, AttributeValue=new.get(name, ""))
        return {"Arn": physical_id}

    def delete(self, physical_id, properties):
        if self.exists("get_subscription_attributes", SubscriptionArn=physical_id):
            self.call("unsubscribe", SubscriptionArn=physical_id)


@resource_type("AWS::CloudWatch::Alarm")
class Alarm(Handler):
    service = "cloudwatch"
    name_property = "AlarmName"
    replaced_by = ("AlarmName",)

    def create(self, properties):
        name = self.name(properties, 255)
        if self.call("describe_alarms", AlarmNames=[name])["MetricAlarms"]:
            raise Failure("%s already exists" % name)
        return name, self.put(name, properties)

    def put(self, name, properties):
        self.call("put_metric_alarm", **dict(properties, AlarmName=name))
        return {"Arn": self.arn("cloudwatch", "alarm:" + name)}

    def update(self, physical_id, old, new):
        return self.put(physical_id, new)

    def delete(self, physical_id, properties):
        self.call("delete_alarms", AlarmNames=[physical_id])


@resource_type("AWS::CloudWatch::Dashboard")
class Dashboard(Handler):
    service = "cloudwatch"
    name_property = "DashboardName"
    replaced_by = ("DashboardName",)

    def create(self, properties):
        name = self.name(properties, 255)
        self.refuse_existing(name, "get_dashboard", DashboardName=name)
        self.update(name, {}, dict(properties, DashboardName=name))
        return name, {}

    def update(self, physical_id, old, new):
        self.call("put_dashboard", **new)
        return {}

    def delete(self, physical_id, properties):
        self.call("delete_dashboards", DashboardNames=[physical_id])


@resource_type("AWS::Logs::LogGroup")
class LogGroup(Handler):
    service = "logs"
    name_property = "LogGroupName"
    replaced_by = ("LogGroupName",)

    def create(self, properties):
        known = {"LogGroupName", "RetentionInDays", "KmsKeyId", "Tags", "LogGroupClass", "DeletionProtectionEnabled"}
        unknown = set(properties) - known
        if unknown:
            raise Failure("Properties validation failed: extraneous key [%s] is not permitted" % ", ".join(sorted(unknown)))
        name = self.name(properties, 512)
        settings = {"kmsKeyId": properties["KmsKeyId"]} if "KmsKeyId" in properties else {}
        self.call("create_log_group", logGroupName=name, tags=tag_map(properties.get("Tags")), **settings)
        return name, self.retain(name, properties)

    def retain(self, name, properties):
        if "RetentionInDays" in properties:
            self.call("put_retention_policy", logGroupName=name, retentionInDays=properties["RetentionInDays"])
        else:
            self.call("delete_retention_policy", logGroupName=name)
        return {"Arn": self.arn("logs", "log-group:%s:*" % name)}

    def update(self, physical_id, old, new):
        if old.get("KmsKeyId") != new.get("KmsKeyId"):
            if "KmsKeyId" in new:
                self.call("associate_kms_key", logGroupName=physical_id, kmsKeyId=new["KmsKeyId"])
            else:
                self.call("disassociate_kms_key", logGroupName=physical_id)
        return self.retain(physical_id, new)

    def delete(self, physical_id, properties):
        self.call("delete_log_group", logGroupName=physical_id)


@resource_type("AWS::IAM::Role")
class Role(Handler):
    service = "iam"
    name_property = "RoleName"
    replaced_by = ("RoleName", "Path")

    def create(self, properties):
        name = self.name(properties, 64)
        settings = {n: v for n, v in properties.items() if n not in ("Policies", "ManagedPolicyArns")}
        self.call("create_role", **dict(settings, RoleName=name))
        try:
            self.change_policies(name, {}, properties)
        except Exception:
            self.delete(name, {})
            raise
        return name, self.attributes(name)

    def attributes(self, name):
        role = self.call("get_role", RoleName=name)["Role"]
        return {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    def change_policies(self, name, old, new):
        wanted = {one["PolicyName"]: one["PolicyDocument"] for one in new.get("Policies", [])}
        for policy, document in wanted.items():
            self.call("put_role_policy", RoleName=name, PolicyName=policy, PolicyDocument=document)
        for one in old.get("Policies", []):
            if one["PolicyName"] not in wanted:
                self.call("delete_role_policy", RoleName=name, PolicyName=one["PolicyName"])
        attached, now_attached = old.get("ManagedPolicyArns", []), new.get("ManagedPolicyArns", [])
        for arn in set(now_attached) - set(attached):
            self.call("attach_role_policy", RoleName=name, PolicyArn=arn)
        for arn in set(attached) - set(now_attached):
            self.call("detach_role_policy", RoleName=name, PolicyArn=arn)

    def update(self, physical_id, old, new):
        self.call("update_assume_role_policy", RoleName=physical_id, PolicyDocument=new["AssumeRolePolicyDocument"])
        self.call(
            "update_role",
            RoleName=physical_id,
            Description=new.get("Description", ""),
            MaxSessionDuration=new.get("MaxSessionDuration", 3600),
        )
        self.change_policies(physical_id, old, new)
        return self.attributes(physical_id)

    def delete(self, physical_id, properties):
        if not self.exists("get_role", RoleName=physical_id):
            return
        for policy in self.call("list_role_policies", RoleName=physical_id)["PolicyNames"]:
            self.call("delete_role_policy", RoleName=physical_id, PolicyName=policy)
        for policy in self.call("list_attached_role_policies", RoleName=physical_id)["AttachedPolicies"]:
            self.call("detach_role_policy", RoleName=physical_id, PolicyArn=policy["PolicyArn"])
        self.call("delete_role", RoleName=physical_id)


@resource_type("AWS::DynamoDB::Table")
class Table(Handler):
    service = "dynamodb"
    name_property = "TableName"
    replaced_by = ("TableName", "KeySchema", "LocalSecondaryIndexes")
    later = ("PointInTimeRecoverySpecification", "TimeToLiveSpecification")

    def api_properties(self, properties):
        wanted = {n: v for n, v in properties.items() if n not in self.later}
        if "SSESpecification" in wanted:
            wanted["SSESpecification"] = dict(wanted["SSESpecification"])
            wanted["SSESpecification"]["Enabled"] = wanted["SSESpecification"].pop("SSEEnabled", False)
        return wanted

    def create(self, properties):
        name = self.name(properties, 255)
        self.call("create_table", **dict(self.api_properties(properties), TableName=name))
        return name, self.set_later(name, {}, properties)

    def set_later(self, name, old, new):
        recovery, ttl = (new.get(one) for one in self.later)
        if recovery != old.get(self.later[0]):
            wanted = {"PointInTimeRecoveryEnabled": (recovery or {}).get("PointInTimeRecoveryEnabled", False)}
            self.call("update_continuous_backups", TableName=name, PointInTimeRecoverySpecification=wanted)
        if ttl != old.get(self.later[1]):
            ttl = ttl or dict(old[self.later[1]], Enabled=False)
            self.call("update_time_to_live", TableName=name, TimeToLiveSpecification=ttl)
        table = self.call("describe_table", TableName=name)["Table"]
        return {"Arn": table["TableArn"], "StreamArn": table.get("LatestStreamArn", "")}

    def update(self, physical_id, old, new):
        before, after = self.api_properties(old), self.api_properties(new)
        changed = {n: after[n] for n in after if after[n] != before.get(n) and n not in ("Tags", "TableName")}
        if "DeletionProtectionEnabled" in before and "DeletionProtectionEnabled" not in after:
            changed["DeletionProtectionEnabled"] = False
        if changed:
            self.call("update_table", TableName=physical_id, **changed)
        return self.set_later(physical_id, old, new)

    def delete(self, physical_id, properties):
        if self.exists("describe_table", TableName=physical_id):
            self.call("delete_table", TableName=physical_id)


@resource_type("AWS::Lambda::Function")
class Function(Handler):
    service = "lambda"
    name_property = "FunctionName"
    replaced_by = ("FunctionName", "PackageType")
    code_properties = ("Code", "Architectures")

    def api_properties(self, properties):
        wanted = {n: v for n, v in properties.items() if n not in ("ReservedConcurrentExecutions", "Tags")}
        if "KmsKeyArn" in wanted:
            wanted["KMSKeyArn"] = wanted.pop("KmsKeyArn")
        return wanted

    def create(self, properties):
        name = self.name(properties, 64)
        self.refuse_existing(name, "get_function", FunctionName=name)
        wanted = dict(self.api_properties(properties), FunctionName=name, Tags=tag_map(properties.get("Tags")))
        if "ZipFile" in wanted["Code"]:
            raise Failure("Code.ZipFile is not supported here: put the zip file on S3")
        arn = self.call("create_function", **wanted)["FunctionArn"]
        try:
            self.reserve(name, properties)
        except Exception:
            self.delete(name, {})
            raise
        return name, {"Arn": arn}

    def reserve(self, name, properties):
        if "ReservedConcurrentExecutions" in properties:
            reserved = properties["ReservedConcurrentExecutions"]
            self.call("put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=reserved)
        else:
            self.call("delete_function_concurrency", FunctionName=name)

    def update(self, physical_id, old, new):
        before, after = self.api_properties(old), self.api_properties(new)
        if any(before.get(n) != after.get(n) for n in self.code_properties):
            code = dict(after["Code"], Architectures=after.get("Architectures", ["x86_64"]))
            self.call("update_function_code", FunctionName=physical_id, **code)
        cleared = {"Description": "", "Environment": {"Variables": {}}, "MemorySize": 128, "Timeout": 3, "KMSKeyArn": ""}
        cleared["TracingConfig"] = {"Mode": "PassThrough"}
        cleared["LoggingConfig"] = {"LogFormat": "Text"}
        settings = {n: v for n, v in cleared.items() if n in before and n not in after}
        settings.update({n: v for n, v in after.items() if n not in self.code_properties and n != "FunctionName"})
        self.call("update_function_configuration", FunctionName=physical_id, **settings)
        self.reserve(physical_id, new)
        return {"Arn": self.arn("lambda", "function:" + physical_id)}

    def delete(self, physical_id, properties):
        if self.exists("get_function", FunctionName=physical_id):
            self.call("delete_function", FunctionName=physical_id)


@resource_type("AWS::StepFunctions::StateMachine")
class StateMachine(Handler):
    service = "stepfunctions"
    name_property = "StateMachineName"
    replaced_by = ("StateMachineName", "StateMachineType")

    def definition(self, properties):
        if "DefinitionS3Location" in properties:
            bucket, key = properties["DefinitionS3Location"]["Bucket"], properties["DefinitionS3Location"]["Key"]
            try:
                text = own_client("s3", self.region).get_object(Bucket=bucket, Key=key)["Body"].read().decode()
            except botocore.exceptions.ClientError as error:
                raise Failure("DefinitionS3Location s3://%s/%s: %s" % (bucket, key, error.response["Error"]["Message"]))
        else:
            text = properties.get("DefinitionString") or json.dumps(properties["Definition"])
        for name, value in properties.get("DefinitionSubstitutions", {}).items():
            text = text.replace("${%s}" % name, text_of(value))
        return text

    def api_properties(self, properties):
        wanted = {"definition": self.definition(properties), "roleArn": properties["RoleArn"]}
        for name in ("LoggingConfiguration", "TracingConfiguration", "EncryptionConfiguration"):
            if name in properties:
                wanted[name[:1].lower() + name[1:]] = first_lower(properties[name])
        return wanted

    def create(self, properties):
        name = self.name(properties)
        arn = self.arn("states", "stateMachine:" + name)
        self.refuse_existing(name, "describe_state_machine", stateMachineArn=arn)
        self.call("create_state_machine", name=name, type=properties.get("StateMachineType", "STANDARD"),
                  tags=first_lower(properties.get("Tags", [])), **self.api_properties(properties))
        return arn, {"Arn": arn, "Name": name}

    def update(self, physical_id, old, new):
        wanted = self.api_properties(new)
        cleared = {"loggingConfiguration": {"level": "OFF"}, "tracingConfiguration": {"enabled": False}}
        self.call("update_state_machine", stateMachineArn=physical_id, **dict(cleared, **wanted))
        return {"Arn": physical_id, "Name": physical_id.rsplit(":", 1)[1]}

    def delete(self, physical_id, properties):
        self.call("delete_state_machine", stateMachineArn=physical_id)


@resource_type("AWS::KMS::Key")
class Key(Handler):
    service = "kms"
    replaced_by = ("KeySpec", "KeyUsage", "MultiRegion", "Origin")

    def refuse_unknown(self, properties):
        unknown = set(properties) - {"Description", "EnableKeyRotation", "KeyPolicy", "PendingWindowInDays"}
        if unknown:
            raise Failure("Key properties not supported here: %s" % ", ".join(sorted(unknown)))

    def create(self, properties):
        self.refuse_unknown(properties)
        made = self.call("create_key", Description=properties.get("Description", ""), Policy=properties["KeyPolicy"])["KeyMetadata"]
        return made["KeyId"], self.rotate(made["KeyId"], properties)

    def rotate(self, key_id, properties):
        wanted = text_of(properties.get("EnableKeyRotation", False)) == "true"
        self.call("enable_key_rotation" if wanted else "disable_key_rotation", KeyId=key_id)
        return {"Arn": self.arn("kms", "key/" + key_id), "KeyId": key_id}

    def update(self, physical_id, old, new):
        self.refuse_unknown(new)
        self.call("put_key_policy", KeyId=physical_id, PolicyName="default", Policy=new["KeyPolicy"])
        self.call("update_key_description", KeyId=physical_id, Description=new.get("Description", ""))
        return self.rotate(physical_id, new)

    def delete(self, physical_id, properties):
        self.call("schedule_key_deletion", KeyId=physical_id, PendingWindowInDays=properties.get("PendingWindowInDays", 30))


@resource_type("AWS::KMS::Alias")
class Alias(Handler):
    service = "kms"
    replaced_by = ("AliasName",)

    def create(self, properties):
        self.call("create_alias", **properties)
        return properties["AliasName"], {}

    def update(self, physical_id, old, new):
        self.call("update_alias", **new)
        return {}

    def delete(self, physical_id, properties):
        self.call("delete_alias", AliasName=physical_id)


@resource_type("AWS::S3::Bucket")
class Bucket(Handler):
    service = "s3"
    name_property = "BucketName"
    replaced_by = ("BucketName",)
    # property: (call, its argument, call that clears it)
    settings = {
        "BucketEncryption": ("put_bucket_encryption", "ServerSideEncryptionConfiguration", "delete_bucket_encryption"),
        "LifecycleConfiguration": ("put_bucket_lifecycle_configuration", "LifecycleConfiguration", "delete_bucket_lifecycle"),
        "OwnershipControls": ("put_bucket_ownership_controls", "OwnershipControls", "delete_bucket_ownership_controls"),
        "PublicAccessBlockConfiguration":
            ("put_public_access_block", "PublicAccessBlockConfiguration", "delete_public_access_block"),
        "VersioningConfiguration": ("put_bucket_versioning", "VersioningConfiguration", None),
    }

    def api_value(self, name, value):
        """What the API spells in another way than CloudFormation."""
        if name == "BucketEncryption":
            return {"Rules": [
                dict({n: v for n, v in rule.items() if n != "ServerSideEncryptionByDefault"},
                     ApplyServerSideEncryptionByDefault=rule["ServerSideEncryptionByDefault"])
                for rule in value["ServerSideEncryptionConfiguration"]
            ]}
        if name == "LifecycleConfiguration":
            return {"Rules": [
                dict({n: v for n, v in rule.items() if n not in ("Id", "ExpiredObjectDeleteMarker")}, ID=rule["Id"],
                     Filter={"Prefix": ""}, Expiration={"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]})
                for rule in value["Rules"]
            ]}
        return value

    def configure(self, bucket, old, new):
        unknown = set(new) - set(self.settings) - {"BucketName"}
        if unknown:
            raise Failure("Bucket properties not supported here: %s" % ", ".join(sorted(unknown)))
        for name, (put, argument, clear) in self.settings.items():
            if name in new:
                self.call(put, Bucket=bucket, **{argument: self.api_value(name, new[name])})
            elif name in old and clear:
                self.call(clear, Bucket=bucket)
        return {"Arn": "arn:%s:s3:::%s" % (self.stack.partition, bucket)}

    def create(self, properties):
        bucket = self.name(properties, 63).lower()
        self.refuse_existing(bucket, "head_bucket", Bucket=bucket)
        place = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.call("create_bucket", Bucket=bucket, **place)
        return bucket, self.configure(bucket, {}, properties)

    def update(self, physical_id, old, new):
        return self.configure(physical_id, old, new)

    def delete(self, physical_id, properties):
        self.call("delete_bucket", Bucket=physical_id)  # refused when it holds anything


@resource_type("AWS::S3::BucketPolicy")
class BucketPolicy(Handler):
    service = "s3"
    replaced_by = ("Bucket",)

    def create(self, properties):
        self.call("put_bucket_policy", Bucket=properties["Bucket"], Policy=properties["PolicyDocument"])
        return properties["Bucket"], {}

    def update(self, physical_id, old, new):
        return self.create(new)[1]

    def delete(self, physical_id, properties):
        self.call("delete_bucket_policy", Bucket=physical_id)
