#!/usr/bin/env python3
"""Runs moto as the AWS services behind Carnation's local endpoint, and fills moto's gaps.

moto 5.2.1 keeps S3, SQS, DynamoDB and the rest in memory, and has a Step Functions engine. Its CloudFormation creates
few of the properties that Carnation's templates set, deletes a nested stack to update it, and its engine runs a state
machine once. Each section below fills one named gap and says what moto does and what AWS does.

`carnation local` starts this script. MOTO_PORT in its environment is the port of that endpoint: the engine's tasks call
there, and the URLs that moto hands out point there. It prints one JSON line, {"port": n}, when it serves on
127.0.0.1:n, and exits when its standard input closes, which is when its parent is gone. Exit code 3: the Python
installation cannot run it, with one line on stderr that says why.
"""

import sys

MOTO_VERSION = "5.2.1"
PYTHON_VERSION = (3, 10)


def refuse(found):
    """Ends the script when moto is not the very version whose inside it patches."""
    needed = "moto[server] %s on Python %d.%d or newer" % ((MOTO_VERSION,) + PYTHON_VERSION)
    sys.stderr.write("moto_server: found %s, need %s; run: make tools\n" % (found, needed))
    sys.exit(3)


if sys.version_info < PYTHON_VERSION:
    refuse("Python %d.%d" % sys.version_info[:2])
try:
    import moto

    if moto.__version__ != MOTO_VERSION:
        refuse("moto " + moto.__version__)
    import antlr4  # noqa: F401  (moto loads these two late: a missing one is to be known now)
    import flask_cors  # noqa: F401
    import jsonpath_ng.ext
    import yaml
    from werkzeug.serving import WSGIRequestHandler, make_server
except ImportError as missing:
    refuse("no Python module %s (%s)" % (missing.name, sys.executable))

import base64  # noqa: E402
import copy  # noqa: E402
import datetime  # noqa: E402
import functools  # noqa: E402
import hashlib  # noqa: E402
import inspect  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import types  # noqa: E402
import urllib.parse  # noqa: E402
import uuid  # noqa: E402

import boto3  # noqa: E402
import botocore.exceptions  # noqa: E402
from botocore.config import Config  # noqa: E402

ACCOUNT_ID = "123456789012"
ENDPOINT_PORT = os.environ.get("MOTO_PORT", "5000")
ENDPOINT_URL = "http://127.0.0.1:" + ENDPOINT_PORT

# moto reads these when it is imported. Every access key is the one account's, as a laptop has no IAM users.
os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT_ID
os.environ["MOTO_PORT"] = ENDPOINT_PORT
for profile_setting in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL"):
    os.environ.pop(profile_setting, None)

log = logging.getLogger("moto_server")


def now():
    return datetime.datetime.now(tz=datetime.timezone.utc)


# ---------------------------------------------------------------------------------------------------------------------
# Clients. CloudFormation's calls go to moto itself; the engine's tasks go to Carnation's endpoint, which hosts the
# functions, signed with the key by which its recorder tells them apart. moto's engine makes a new client for each call,
# which takes 50 ms, and a connection pool of 10 would hold back a Map that runs wider.

OWN_URL = None  # set when the server is bound
CLIENTS = {}
CLIENTS_LOCK = threading.Lock()


def client_for(service, region, endpoint_url, access_key):
    key = (service, region, endpoint_url)
    with CLIENTS_LOCK:
        if key not in CLIENTS:
            CLIENTS[key] = boto3.session.Session().client(
                service,
                region_name=region,
                endpoint_url=endpoint_url,
                aws_access_key_id=access_key,
                aws_secret_access_key="carnation",
                config=Config(
                    parameter_validation=False,
                    retries={"total_max_attempts": 1},  # retries are the state machine's business, and visible there
                    connect_timeout=5,
                    read_timeout=910,  # longer than a Lambda function can run: TimeoutSeconds of the state decides
                    max_pool_connections=200,
                    s3={"addressing_style": "path"},
                ),
            )
        return CLIENTS[key]


def own_client(service, region):
    return client_for(service, region, OWN_URL, "cloudformation")


def engine_client(region, service, state_credentials=None):
    access_key = os.environ.get("CARNATION_ENGINE_ACCESS_KEY_ID") or "carnation-engine"
    return client_for(service, region, ENDPOINT_URL, access_key)


def replace_everywhere(package, name, value):
    """Sets a name in every loaded module of a package that has it: `from x import name` makes many copies of it."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith(package) and getattr(module, name, None) is not None:
            setattr(module, name, value)


# ---------------------------------------------------------------------------------------------------------------------
# CloudFormation, templates: reading one, and working out its values. moto splits `!GetAtt A.Outputs.B` at every dot,
# keeps a NoValue inside lists, does not know Rules, and takes any value for a parameter.



class Export:
    """An output of a stack that other stacks import."""

    def __init__(self, exporting_stack_id, name, value):
        self.exporting_stack_id, self.name, self.value = exporting_stack_id, name, value


# moto's own template module is not used here, and imports EC2, RDS and thirty other services: a second at each start.
sys.modules["moto.cloudformation.parsing"] = types.ModuleType("moto.cloudformation.parsing")
vars(sys.modules["moto.cloudformation.parsing"]).update(Export=Export, OutputMap=None, ResourceMap=None)

from moto.cloudformation import models as cfn_models  # noqa: E402
from moto.cloudformation import responses as cfn_responses  # noqa: E402
from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError  # noqa: E402


class InsufficientCapabilities(CloudFormationError):
    code = "InsufficientCapabilitiesException"


def invalid(message):
    return ValidationError(message=message)


class TemplateLoader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: `!Ref x` is {"Ref": x}, and a date stays the text it is."""


def construct_function(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else "Fn::" + suffix: value}


TemplateLoader.add_multi_constructor("!", construct_function)
TemplateLoader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def parse_template(text):
    try:
        template = yaml.load(text, Loader=TemplateLoader)
    except yaml.YAMLError as error:
        raise invalid("Template format error: YAML not well-formed. " + " ".join(str(error).split()))
    if not isinstance(template, dict):
        raise invalid("Template format error: unsupported structure.")
    if not isinstance(template.get("Resources"), dict) or not template["Resources"]:
        raise invalid("Template format error: At least one Resources member must be defined.")
    for name, resource in template["Resources"].items():
        if not isinstance(resource, dict) or "Type" not in resource:
            raise invalid("Template format error: [/Resources/%s] Every Resources object must contain a Type member." % name)
    unknown = sorted({r["Type"] for r in template["Resources"].values()} - set(RESOURCE_TYPES))
    if unknown:
        raise invalid("Template format error: Unrecognized resource types: [%s]" % ", ".join(unknown))
    return template


def template_at(url, region):
    """The text behind a TemplateURL, in any of the forms that S3 has for one."""
    parts = urllib.parse.urlparse(url)
    host, path = parts.hostname or "", urllib.parse.unquote(parts.path.lstrip("/"))
    in_host = re.match(r"(.+)\.s3[.-]", host)
    bucket, _, key = (in_host.group(1), "", path) if in_host else path.partition("/")
    if not bucket or not key:
        raise invalid("TemplateURL must be a supported URL.")
    try:
        body = own_client("s3", region).get_object(Bucket=bucket, Key=key)["Body"].read()
    except botocore.exceptions.ClientError as error:
        raise invalid("S3 error: %s (%s)" % (error.response["Error"]["Message"], url))
    return body.decode("utf-8")


def text_of(value):
    """A parameter's value as CloudFormation keeps it: text, whatever YAML made of it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(text_of, value)) if isinstance(value, list) else str(value)


def check_parameter(name, declared, value):
    """Refuses a value that breaks a constraint of its parameter, in CloudFormation's words."""

    def refuse_unless(good, default_message):
        if not good:
            described = declared.get("ConstraintDescription")
            if described:
                raise invalid("Parameter %s failed to satisfy constraint: %s" % (name, described))
            raise invalid("Parameter '%s' must %s" % (name, default_message))

    kind = declared.get("Type", "String")
    values = [v.strip() for v in value.split(",")] if kind.startswith(("List<", "CommaDelimited")) else [value]
    for one in values:
        if kind in ("Number", "List<Number>"):
            try:
                number = float(one)
            except ValueError:
                raise invalid("Parameter '%s' must be a number" % name)
            lowest, highest = declared.get("MinValue"), declared.get("MaxValue")
            refuse_unless(lowest is None or number >= float(lowest), "be a number not less than %s" % lowest)
            refuse_unless(highest is None or number <= float(highest), "be a number not greater than %s" % highest)
        if "AllowedValues" in declared:
            refuse_unless(one in map(text_of, declared["AllowedValues"]), "be one of AllowedValues")
        if kind == "String":
            shortest, longest = declared.get("MinLength"), declared.get("MaxLength")
            refuse_unless(shortest is None or len(one) >= int(shortest), "contain at least %s characters" % shortest)
            refuse_unless(longest is None or len(one) <= int(longest), "contain at most %s characters" % longest)
        if "AllowedPattern" in declared:
            pattern = declared["AllowedPattern"]
            refuse_unless(re.fullmatch(pattern, one), "match pattern %s" % pattern)


def resolve_parameters(template, given):
    """The value of every parameter of a template: the given one, or else its default."""
    declared = template.get("Parameters") or {}
    unknown = [name for name in given if name not in declared]
    if unknown:
        raise invalid("Parameters: [%s] do not exist in the template" % ", ".join(unknown))
    missing = [name for name in declared if name not in given and "Default" not in declared[name]]
    if missing:
        raise invalid("Parameters: [%s] must have values" % ", ".join(missing))
    values = {name: text_of(given.get(name, declared[name].get("Default"))) for name in declared}
    for name, value in values.items():
        check_parameter(name, declared[name], value)
    return values


class NoValue:
    """What `!Ref AWS::NoValue` stands for: the property, or the list's entry, is not there."""


class Scope:
    """Works out the functions of one template, for one stack."""

    def __init__(self, stack, template, parameters):
        self.stack, self.template, self.parameters = stack, template, parameters
        self.conditions = {}
        self.records = {}  # logical id -> Record, of the resources that exist
        self.pseudo = {
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Region": stack.region_name,
            "AWS::Partition": stack.partition,
            "AWS::StackId": stack.stack_id,
            "AWS::StackName": stack.name,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NotificationARNs": stack.notification_arns,
            "AWS::NoValue": NoValue,
        }

    def condition(self, name):
        if name not in self.conditions:
            declared = (self.template.get("Conditions") or {}).get(name)
            if declared is None:
                raise invalid("Template error: unresolved condition dependency %s" % name)
            self.conditions[name] = self.truth(declared)
        return self.conditions[name]

    def truth(self, value):
        value = self.resolve(value)
        return value if isinstance(value, bool) else text_of(value) == "true"

    def wanted(self, declared):
        return "Condition" not in declared or self.condition(declared["Condition"])

    def resolve(self, value):
        if isinstance(value, list):
            return [one for one in map(self.resolve, value) if one is not NoValue]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            function = FUNCTIONS.get(name)
            if function and not (name == "Condition" and isinstance(argument, dict)):
                return function(self, argument)
        resolved = {name: self.resolve(one) for name, one in value.items()}
        return {name: one for name, one in resolved.items() if one is not NoValue}

    def ref(self, name):
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            kind = self.template["Parameters"][name].get("Type", "String")
            value = self.parameters[name]
            return [v.strip() for v in value.split(",")] if kind.startswith(("List<", "CommaDelimited")) else value
        return self.record(name).physical_resource_id

    def record(self, name):
        if name not in self.records:
            raise invalid("Template error: resource %s does not exist or its Condition is false" % name)
        return self.records[name]

    def attribute(self, argument):
        name, attribute = argument.split(".", 1) if isinstance(argument, str) else map(self.resolve, argument)
        attributes = self.record(name).attributes
        if attribute not in attributes:
            kind = self.record(name).cf_resource_type
            raise invalid("Template error: resource %s (%s) does not support attribute type %s in Fn::GetAtt" % (name, kind, attribute))
        return attributes[attribute]

    def substitute(self, argument):
        text, own = argument if isinstance(argument, list) else (argument, {})

        def value(match):
            name = match.group(1).strip()
            if name.startswith("!"):
                return "${%s}" % name[1:]
            if name in own:
                return text_of(self.resolve(own[name]))
            return text_of(self.attribute(name) if "." in name and name not in self.pseudo else self.ref(name))

        return re.sub(r"\$\{([^}]*)\}", value, text)

    def choose(self, argument):
        name, if_true, if_false = argument
        return self.resolve(if_true if self.condition(name) else if_false)

    def find_in_map(self, argument):
        keys = [self.resolve(one) for one in argument[:3]]
        value = self.template.get("Mappings") or {}
        for key in keys:
            if key not in value:
                raise invalid("Template error: Unable to get mapping for %s" % "::".join(map(str, keys)))
            value = value[key]
        return value

    def import_value(self, argument):
        name = self.resolve(argument)
        if name not in self.stack.backend.exports:
            raise invalid("No export named %s found." % name)
        return self.stack.backend.exports[name].value

    def check_rules(self):
        for name, rule in (self.template.get("Rules") or {}).items():
            if "RuleCondition" in rule and not self.truth(rule["RuleCondition"]):
                continue
            for assertion in rule.get("Assertions", []):
                if not self.truth(assertion["Assert"]):
                    raise invalid("Rule %s: %s" % (name, assertion.get("AssertDescription", "an assertion failed")))


FUNCTIONS = {
    "Ref": Scope.ref,
    "Condition": Scope.condition,
    "Fn::GetAtt": Scope.attribute,
    "Fn::Sub": Scope.substitute,
    "Fn::If": Scope.choose,
    "Fn::FindInMap": Scope.find_in_map,
    "Fn::ImportValue": Scope.import_value,
    "Fn::Join": lambda scope, a: a[0].join(map(text_of, scope.resolve(a[1]))),
    "Fn::Split": lambda scope, a: scope.resolve(a[1]).split(a[0]),
    "Fn::Select": lambda scope, a: scope.resolve(a[1])[int(scope.resolve(a[0]))],
    "Fn::Base64": lambda scope, a: base64.b64encode(scope.resolve(a).encode()).decode(),
    "Fn::ToJsonString": lambda scope, a: json.dumps(scope.resolve(a)),
    "Fn::GetAZs": lambda scope, a: [(scope.resolve(a) or scope.stack.region_name) + zone for zone in "abc"],
    "Fn::Equals": lambda scope, a: text_of(scope.resolve(a[0])) == text_of(scope.resolve(a[1])),
    "Fn::Not": lambda scope, a: not scope.truth(a[0]),
    "Fn::And": lambda scope, a: all([scope.truth(one) for one in a]),
    "Fn::Or": lambda scope, a: any([scope.truth(one) for one in a]),
    "Fn::Contains": lambda scope, a: scope.resolve(a[1]) in scope.resolve(a[0]),
    "Fn::EachMemberIn": lambda scope, a: set(scope.resolve(a[0])) <= set(scope.resolve(a[1])),
    "Fn::EachMemberEquals": lambda scope, a: all(one == scope.resolve(a[1]) for one in scope.resolve(a[0])),
}


def references(value):
    """The names that a template's value refers to, parameters and resources alike."""
    if isinstance(value, list):
        return set().union(*map(references, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    names = set()
    for key, argument in value.items():
        if key == "Ref":
            names.add(argument)
        elif key == "Fn::GetAtt":
            names.add(argument.split(".")[0] if isinstance(argument, str) else argument[0])
        elif key == "Fn::Sub":
            text, own = argument if isinstance(argument, list) else (argument, {})
            names |= {n.strip().split(".")[0] for n in re.findall(r"\$\{([^!}][^}]*)\}", text) if n not in own}
            names |= references(own)
        else:
            names |= references(argument)
    return names


def check_references(template):
    known = set(template["Resources"]) | set(template.get("Parameters") or {})
    for section in ("Resources", "Outputs"):
        names = {n for n in references(template.get(section) or {}) if not n.startswith("AWS::")}
        for resource in template["Resources"].values():
            depends_on = resource.get("DependsOn", [])
            names |= {depends_on} if isinstance(depends_on, str) else set(depends_on)
        if names - known:
            missing = ", ".join(sorted(names - known))
            raise invalid("Template format error: Unresolved resource dependencies [%s] in the %s block of the template" % (missing, section))


def dependency_order(scope):
    """The logical ids of the resources to create, each after those it refers to."""
    resources = scope.template["Resources"]
    order, path = [], []

    def visit(name):
        if name in order or name not in resources or not scope.wanted(resources[name]):
            return
        if name in path:
            raise invalid("Template error: Circular dependency between resources: [%s]" % ", ".join(path))
        path.append(name)
        depends_on = resources[name].get("DependsOn", [])
        for other in [depends_on] if isinstance(depends_on, str) else depends_on:
            visit(other)
        for other in sorted(references(resources[name].get("Properties"))):
            visit(other)
        path.pop()
        order.append(name)

    for name in resources:
        visit(name)
    return order


# ---------------------------------------------------------------------------------------------------------------------
# CloudFormation, resource types: each makes, changes and deletes its resource by calls of the service's own API, as
# AWS's handlers do. moto's own handlers take few properties, change fewer, and know nothing of six of these types.

RESOURCE_TYPES = {}
API_ERRORS = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)


class Failure(Exception):
    """Why a resource could not be made, changed or deleted; the stack's events show it."""


def resource_type(name):
    def register(handler):
        handler.type_name = name
        RESOURCE_TYPES[name] = handler
        return handler

    return register


def coerce(shape, value):
    """A template's value in the type that the API wants: a parameter of a template is always text."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        unknown = [name for name in value if name not in shape.members]
        if unknown:
            raise Failure("Properties validation failed: extraneous key [%s] is not permitted" % ", ".join(unknown))
        return {name: coerce(shape.members[name], one) for name, one in value.items()}
    if kind == "list" and isinstance(value, list):
        return [coerce(shape.member, one) for one in value]
    if kind == "map" and isinstance(value, dict):
        return {name: coerce(shape.value, one) for name, one in value.items()}
    try:
        if kind in ("integer", "long"):
            return int(value)
        if kind in ("float", "double"):
            return float(value)
        if kind == "boolean":
            return {"true": True, "false": False}[text_of(value)]
    except (ValueError, KeyError, TypeError):
        raise Failure("Properties validation failed: %r is not a valid %s" % (value, kind))
    if kind == "string":
        return json.dumps(value) if isinstance(value, (dict, list)) else text_of(value)
    return value


def first_lower(value):
    """CloudFormation spells LogGroupArn what the Step Functions API spells logGroupArn."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: first_lower(one) for name, one in value.items()}
    return [first_lower(one) for one in value] if isinstance(value, list) else value


def tag_map(tags):
    return {tag["Key"]: text_of(tag["Value"]) for tag in tags or []}


class Handler:
    """One resource type. `replaced_by` are the properties whose change makes a new resource."""

    service = None
    name_property = None
    replaced_by = ()

    def __init__(self, stack, logical_id):
        self.stack, self.logical_id = stack, logical_id
        self.region = stack.region_name

    def call(self, operation, **parameters):
        client = own_client(self.service, self.region)
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
        return getattr(client, operation)(**(coerce(model.input_shape, parameters) if parameters else {}))

    def exists(self, operation, **parameters):
        try:
            self.call(operation, **parameters)
        except botocore.exceptions.ClientError:
            return False
        return True

    def refuse_existing(self, name, operation, **parameters):
        if self.exists(operation, **parameters):
            raise Failure("%s already exists in this account and region" % name)

    def arn(self, service, rest, region=None):
        region = self.region if region is None else region
        return "arn:%s:%s:%s:%s:%s" % (self.stack.partition, service, region, ACCOUNT_ID, rest)

    def name(self, properties, length=80):
        if self.name_property in properties:
            return properties[self.name_property]
        unique = "-" + uuid.uuid4().hex[:12].upper()
        return ("%s-%s" % (self.stack.name, self.logical_id))[: length - len(unique)] + unique

    def create(self, properties):
        """Makes the resource; answers its physical id and its attributes."""
        raise NotImplementedError

    def update(self, physical_id, old, new):
        """Changes the resource in place; answers its attributes."""
        raise NotImplementedError

    def delete(self, physical_id, properties):
        raise NotImplementedError


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
            reason = child.failure
            self.stack.backend.delete_stack(child.stack_id)
            raise Failure("Embedded stack %s was not successfully created: %s" % (child.stack_id, reason))
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
        for page in own_client("sns", self.region).get_paginator("list_subscriptions_by_topic").paginate(TopicArn=physical_id):
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
            self.call("set_subscription_attributes", SubscriptionArn=physical_id, AttributeName=name, AttributeValue=new.get(name, ""))
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


@resource_type("AWS::Logs::LogGroup")
class LogGroup(Handler):
    service = "logs"
    name_property = "LogGroupName"
    replaced_by = ("LogGroupName",)

    def create(self, properties):
        unknown = set(properties) - {"LogGroupName", "RetentionInDays", "KmsKeyId", "Tags", "LogGroupClass", "DeletionProtectionEnabled"}
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
            enabled = (recovery or {}).get("PointInTimeRecoveryEnabled", False)
            self.call("update_continuous_backups", TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled})
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
            place = properties["DefinitionS3Location"]
            try:
                text = own_client("s3", self.region).get_object(Bucket=place["Bucket"], Key=place["Key"])["Body"].read().decode()
            except botocore.exceptions.ClientError as error:
                raise Failure("DefinitionS3Location s3://%s/%s: %s" % (place["Bucket"], place["Key"], error.response["Error"]["Message"]))
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


# ---------------------------------------------------------------------------------------------------------------------
# CloudFormation, stacks. moto creates a stack without events for its resources, answers 500 when one fails, and has no
# rollback; an update leaves out what depends on a changed parameter through another resource. A stack is made within
# the call that asks for it, as moto does it: AWS answers at once, and a caller that waits sees the same end.

class Record:
    """A resource of a stack, as it is."""

    def __init__(self, logical_id, declared):
        self.logical_resource_id = logical_id
        self.cf_resource_type = declared["Type"]
        self.deletion_policy = declared.get("DeletionPolicy", "Delete")
        self.replace_policy = declared.get("UpdateReplacePolicy", "Delete")
        self.physical_resource_id = ""
        self.attributes, self.properties = {}, {}
        self.status, self.status_reason, self.timestamp = "", None, now()

    @property
    def name(self):
        return self.logical_resource_id


class Stack:
    class Meta:
        serialization_aliases = {"Parameters": "parameter_list"}

    def __init__(self, backend, name, text, parameters, tags=None, role_arn=None, notification_arns=None,
                 capabilities=(), on_failure="ROLLBACK", parent=None):
        self.backend, self.region_name, self.partition = backend, backend.region_name, backend.partition
        self.name = name
        self.stack_id = "arn:%s:cloudformation:%s:%s:stack/%s/%s" % (self.partition, self.region_name, ACCOUNT_ID, name, uuid.uuid4())
        self.tags, self.role_arn, self.notification_arns = tags or {}, role_arn, notification_arns or []
        self.capabilities, self.on_failure = list(capabilities or []), on_failure
        self.disable_rollback = on_failure == "DO_NOTHING"
        self.parent_id = parent.stack_id if parent else None
        self.root_id = (parent.root_id or parent.stack_id) if parent else None
        self.creation_time, self.last_updated_time, self.deletion_time = now(), None, None
        self.status, self.status_reason, self.failure = "REVIEW_IN_PROGRESS", None, None
        self.enable_termination_protection, self.timeout_in_minutes, self.policy = False, None, ""
        self.events, self.records, self.output_list, self.exports = [], {}, [], []
        self.template, self.template_dict, self.resolved, self.description = text, {}, {}, None
        self.lock = threading.RLock()
        if text is not None:
            self.adopt(self.prepare(text, parameters), text)

    def make_child(self, name, text, parameters, tags):
        child = Stack(self.backend, name, text, parameters, dict(self.tags, **tags), self.role_arn, self.notification_arns,
                      self.capabilities, parent=self)
        self.backend.stacks[child.stack_id] = child
        return child

    def prepare(self, text, parameters):
        """Checks everything that can be checked before a resource is touched."""
        template = parse_template(text)
        check_references(template)
        scope = Scope(self, template, resolve_parameters(template, parameters))
        scope.check_rules()
        dependency_order(scope)
        roles = [r for r in template["Resources"].values() if r["Type"] == "AWS::IAM::Role" and scope.wanted(r)]
        named = any("RoleName" in r.get("Properties", {}) for r in roles)
        needed = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
        if roles and not {needed, "CAPABILITY_NAMED_IAM"} & set(self.capabilities):
            raise InsufficientCapabilities("Requires capabilities : [%s]" % needed)
        return scope

    def adopt(self, scope, text):
        self.scope, self.template, self.template_dict, self.resolved = scope, text, scope.template, scope.parameters
        self.description = scope.template.get("Description")
        scope.records = self.records

    @property
    def parameter_list(self):
        declared = self.template_dict.get("Parameters") or {}
        hidden = {name for name in declared if text_of(declared[name].get("NoEcho", False)) == "true"}
        return [{"ParameterKey": n, "ParameterValue": "****" if n in hidden else v} for n, v in self.resolved.items()]

    @property
    def stack_parameters(self):
        return self.resolved

    @property
    def stack_resources(self):
        return list(self.records.values())

    @property
    def outputs(self):
        return self.output_list or None

    # events

    def event(self, status, reason=None, record=None):
        if record is not None:
            record.status, record.status_reason, record.timestamp = status, reason, now()
        else:
            self.status, self.status_reason = status, reason
        self.events.append(cfn_models.Event(
            stack_id=self.stack_id,
            stack_name=self.name,
            logical_resource_id=record.logical_resource_id if record else self.name,
            physical_resource_id=record.physical_resource_id if record else self.stack_id,
            resource_type=record.cf_resource_type if record else "AWS::CloudFormation::Stack",
            resource_status=status,
            resource_status_reason=reason,
            resource_properties=json.dumps(record.properties) if record else None,
        ))

    # one resource

    def handler(self, record):
        return RESOURCE_TYPES[record.cf_resource_type](self, record.logical_resource_id)

    def attempt(self, record, action, work):
        """Runs one step on one resource, and its events. A Failure carries the reason that AWS would show."""
        self.event(action + "_IN_PROGRESS", None, record)
        try:
            work()
        except Exception as error:
            reason = self.reason(error)
            self.event(action + "_FAILED", reason, record)
            raise Failure(reason)
        self.event(action + "_COMPLETE", None, record)

    def reason(self, error):
        if isinstance(error, botocore.exceptions.ClientError):
            answer = error.response["Error"]
            return "%s (Error Code: %s)" % (answer.get("Message"), answer.get("Code"))
        if isinstance(error, KeyError):
            return "Properties validation failed: required key [%s] not found" % error.args[0]
        if isinstance(error, (Failure, CloudFormationError)):
            return getattr(error, "message", None) or str(error)
        return "%s: %s" % (type(error).__name__, error)

    def create_record(self, logical_id, declared, undo):
        record = Record(logical_id, declared)
        previous = self.records.get(logical_id)
        self.records[logical_id] = record

        def work():
            record.properties = self.scope.resolve(declared.get("Properties") or {})
            record.physical_resource_id, record.attributes = self.handler(record).create(record.properties)

        def forget():
            if record.physical_resource_id:
                self.delete_record(record)
            if previous is not None:
                self.records[logical_id] = previous
            else:
                self.records.pop(logical_id, None)

        undo.append(forget)
        self.attempt(record, "CREATE", work)

    def delete_record(self, record):
        self.attempt(record, "DELETE", lambda: self.handler(record).delete(record.physical_resource_id, record.properties))

    def update_record(self, record, declared, undo):
        handler = self.handler(record)
        nested = isinstance(handler, NestedStack)
        old, attributes = record.properties, record.attributes
        record.deletion_policy = declared.get("DeletionPolicy", "Delete")
        new = self.scope.resolve(declared.get("Properties") or {})
        if new == old and not (nested and self.child_changes(record, new)):
            return None
        if any(new.get(name) != old.get(name) for name in handler.replaced_by):
            self.create_record(record.logical_resource_id, declared, undo)
            return record
        before = handler.child(record.physical_resource_id) if nested else None
        text = before.template if nested else None

        def work():
            record.properties = new
            record.attributes = handler.update(record.physical_resource_id, old, new)

        def restore():
            record.properties, record.attributes = old, attributes
            more = {"text": text} if nested else {}
            self.attempt(record, "UPDATE", lambda: handler.update(record.physical_resource_id, new, old, **more))

        undo.append(restore)
        self.attempt(record, "UPDATE", work)
        return None

    def child_changes(self, record, properties):
        child = self.backend.stacks.get(record.physical_resource_id)
        return child is None or child.changes(template_at(properties["TemplateURL"], self.region_name), child.resolved, None)

    def changes(self, text, parameters, tags):
        """Whether an update would do anything, here or in a nested stack whose template changed under its old URL."""
        template = parse_template(text)
        if template != self.template_dict or resolve_parameters(template, parameters) != self.resolved:
            return True
        if tags is not None and tags != self.tags:
            return True
        return any(self.child_changes(r, r.properties) for r in self.records.values() if r.cf_resource_type == NestedStack.type_name)

    def roll_back(self, undo):
        for step in reversed(undo):
            try:
                step()
            except Failure:
                pass  # its event says why; the others are rolled back all the same

    def work_out_outputs(self):
        self.output_list, exports = [], []
        for key, declared in (self.template_dict.get("Outputs") or {}).items():
            if not self.scope.wanted(declared):
                continue
            value = text_of(self.scope.resolve(declared["Value"]))
            name = self.scope.resolve(declared["Export"]["Name"]) if "Export" in declared else None
            if name is not None:
                owner = self.backend.exports.get(name)
                if owner is not None and owner.exporting_stack_id != self.stack_id:
                    raise Failure("Export with name %s is already exported by stack %s" % (name, owner.exporting_stack_id))
                exports.append(Export(self.stack_id, name, value))
            self.output_list.append(
                {"OutputKey": key, "OutputValue": value, "Description": declared.get("Description"), "ExportName": name}
            )
        for one in self.exports:
            self.backend.exports.pop(one.name, None)
        self.exports = exports
        self.backend.exports.update({one.name: one for one in exports})

    # the whole stack

    def create(self):
        with self.lock:
            undo = []
            self.event("CREATE_IN_PROGRESS", "User Initiated")
            try:
                for logical_id in dependency_order(self.scope):
                    self.create_record(logical_id, self.template_dict["Resources"][logical_id], undo)
                self.work_out_outputs()
            except (Failure, CloudFormationError) as error:
                self.fail_creation(error, undo)
            else:
                self.event("CREATE_COMPLETE")

    def failed_resources(self, verb):
        failed = [r.logical_resource_id for r in self.records.values() if r.status.endswith("_FAILED")]
        return "The following resource(s) failed to %s: [%s]. " % (verb, ", ".join(failed)) if failed else ""

    def fail_creation(self, error, undo):
        self.failure = (self.failed_resources("create") + self.reason(error)).strip()
        if self.on_failure == "DO_NOTHING":
            self.event("CREATE_FAILED", self.failure)
            return
        self.event("ROLLBACK_IN_PROGRESS", self.failure + " Rollback requested by user.")
        kept = dict(self.records)
        self.roll_back(undo)
        self.records = {n: r for n, r in kept.items() if r.status == "DELETE_FAILED"}
        self.scope.records = self.records
        self.event("ROLLBACK_FAILED" if self.records else "ROLLBACK_COMPLETE")
        if self.on_failure == "DELETE":
            self.backend.delete_stack(self.stack_id)

    def update(self, text, parameters, tags=None):
        scope = self.prepare(text, parameters)
        with self.lock:
            undo, before = [], (self.scope, self.template, self.tags)
            self.adopt(scope, text)
            self.tags = self.tags if tags is None else tags
            self.last_updated_time = now()
            self.event("UPDATE_IN_PROGRESS", "User Initiated")
            try:
                replaced = self.apply(undo)
                self.work_out_outputs()
            except (Failure, CloudFormationError) as error:
                self.failure = (self.failed_resources("update") + self.reason(error)).strip()
                self.event("UPDATE_ROLLBACK_IN_PROGRESS", self.failure)
                self.adopt(*before[:2])
                self.tags = before[2]
                self.roll_back(undo)
                failed = any(r.status.endswith("_FAILED") for r in self.records.values())
                self.event("UPDATE_ROLLBACK_FAILED" if failed else "UPDATE_ROLLBACK_COMPLETE")
            else:
                self.clean_up(replaced)
                self.event("UPDATE_COMPLETE")

    def apply(self, undo):
        """Creates and changes resources; answers those that new ones took the place of."""
        replaced = []
        for logical_id in dependency_order(self.scope):
            declared = self.template_dict["Resources"][logical_id]
            record = self.records.get(logical_id)
            if record is not None and record.cf_resource_type == declared["Type"]:
                replaced.append(self.update_record(record, declared, undo))
            else:
                self.create_record(logical_id, declared, undo)
                replaced.append(record)
        return [record for record in replaced if record is not None]

    def clean_up(self, replaced):
        self.event("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        wanted = set(dependency_order(self.scope))
        gone = [record for name, record in self.records.items() if name not in wanted]
        for record in reversed(gone):
            del self.records[record.logical_resource_id]
        for record, policy in [(r, r.replace_policy) for r in replaced] + [(r, r.deletion_policy) for r in reversed(gone)]:
            try:
                if policy != "Retain":
                    self.delete_record(record)
            except Failure:
                pass  # as AWS: the update is complete, and the event says what was left behind

    def delete(self):
        with self.lock:
            self.event("DELETE_IN_PROGRESS", "User Initiated")
            failed = []
            for name, record in reversed(list(self.records.items())):
                if record.deletion_policy == "Retain":
                    self.event("DELETE_SKIPPED", None, record)
                    continue
                try:
                    self.delete_record(record)
                except Failure:
                    failed.append(name)
            if failed:
                self.failure = "The following resource(s) failed to delete: [%s]. " % ", ".join(failed)
                self.records = {name: self.records[name] for name in self.records if name in failed}
                self.scope.records = self.records
                self.event("DELETE_FAILED", self.failure)
                return
            for one in self.exports:
                self.backend.exports.pop(one.name, None)
            self.deletion_time = now()
            self.event("DELETE_COMPLETE")


def stack_called(backend, name):
    return next((stack for stack in backend.stacks.values() if name in (stack.name, stack.stack_id)), None)


class CloudFormation:
    """What takes the place of moto's methods of the same name. `self` is moto's backend."""

    def delete_stack(self, name_or_stack_id):
        stack = stack_called(self, name_or_stack_id)
        if stack is None:
            return
        stack.delete()
        if stack.status == "DELETE_COMPLETE":
            del self.stacks[stack.stack_id]
            self.deleted_stacks[stack.stack_id] = stack

    def get_stack(self, name_or_stack_id):
        stack = stack_called(self, name_or_stack_id) or self.deleted_stacks.get(name_or_stack_id)
        if stack is None:
            raise ValidationError(name_or_stack_id)
        return stack


class CloudFormationAnswers:
    """The same for moto's responses: they read the request, call the backend and shape the answer."""

    def given_template(self, stack=None):
        text, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
        if text and url:
            raise invalid("You cannot specify both TemplateBody and TemplateURL")
        if url:
            return template_at(url, self.region)
        if text:
            return text
        if stack is not None and self._get_bool_param("UsePreviousTemplate", False):
            return stack.template
        raise invalid("Either Template URL or Template Body must be specified.")

    def given_parameters(self, stack=None):
        given = {}
        for one in self._get_param("Parameters", []):
            key = one["ParameterKey"]
            if stack is not None and one.get("UsePreviousValue"):
                if key not in stack.resolved:
                    raise invalid("Invalid input for parameter key %s. Cannot use previous value: there is none" % key)
                given[key] = stack.resolved[key]
            else:
                given[key] = one.get("ParameterValue", "")
        return given

    def given_tags(self):
        tags = self._get_param("Tags")
        return None if tags is None else {tag["Key"]: tag["Value"] for tag in tags}

    def new_stack(self, name, text, parameters):
        if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", name or ""):
            raise invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: "
                          "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*" % name)
        existing = stack_called(self.cloudformation_backend, name)
        if existing is not None and existing.status != "REVIEW_IN_PROGRESS":
            raise AlreadyExistsException("Stack [%s] already exists" % name)
        on_failure = self._get_param("OnFailure") or ("DO_NOTHING" if self._get_bool_param("DisableRollback") else "ROLLBACK")
        return Stack(self.cloudformation_backend, name, text, parameters, self.given_tags(), self._get_param("RoleARN"),
                     self._get_param("NotificationARNs", []), self._get_param("Capabilities", []), on_failure)

    def create_stack(self):
        stack = self.new_stack(self._get_param("StackName"), self.given_template(), self.given_parameters())
        self.cloudformation_backend.stacks[stack.stack_id] = stack
        stack.create()
        return cfn_responses.ActionResult({"StackId": stack.stack_id})

    def update_stack(self):
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        if not re.fullmatch(r"(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE", stack.status):
            raise invalid("Stack:%s is in %s state and can not be updated." % (stack.stack_id, stack.status))
        text, parameters, tags = self.given_template(stack), self.given_parameters(stack), self.given_tags()
        self.allow(stack, text)
        if not stack.changes(text, parameters, tags):
            raise invalid("No updates are to be performed.")
        stack.update(text, parameters, tags)
        return cfn_responses.ActionResult({"StackId": stack.stack_id})

    def allow(self, stack, text):
        stack.capabilities = self._get_param("Capabilities", [])
        for child in stack.backend.stacks.values():
            if child.root_id == stack.stack_id:
                child.capabilities = stack.capabilities

    def validate_template(self):
        template = parse_template(self.given_template())
        check_references(template)
        declared = template.get("Parameters") or {}
        named = any(r["Type"] == "AWS::IAM::Role" for r in template["Resources"].values())
        return cfn_responses.ActionResult({
            "Description": template.get("Description", ""),
            "Parameters": [
                {"ParameterKey": n, "DefaultValue": text_of(p["Default"]) if "Default" in p else None,
                 "NoEcho": text_of(p.get("NoEcho", False)) == "true", "Description": p.get("Description", "")}
                for n, p in declared.items()
            ],
            "Capabilities": ["CAPABILITY_NAMED_IAM"] if named else [],
        })

    def list_stack_resources(self):
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        summaries = [StackResource(stack, record) for record in stack.stack_resources]
        return cfn_responses.ActionResult({"StackResourceSummaries": summaries})


class StackResource:
    """A resource in the answers: moto shows the stack's status as each resource's, and a time in 2010."""

    def __init__(self, stack, record):
        self.stack_id, self.stack_name = stack.stack_id, stack.name
        self.logical_resource_id = record.logical_resource_id
        self.physical_resource_id = record.physical_resource_id
        self.resource_type = record.cf_resource_type
        self.resource_status, self.resource_status_reason = record.status, record.status_reason
        self.timestamp = self.last_updated_timestamp = record.timestamp


def take_over(target, source):
    for name, method in vars(source).items():
        if inspect.isfunction(method):
            setattr(target, name, method)


def fill_cloudformation():
    take_over(cfn_models.CloudFormationBackend, CloudFormation)
    take_over(cfn_responses.CloudFormationResponse, CloudFormationAnswers)
    cfn_responses.StackResourceDTO = StackResource


# ---------------------------------------------------------------------------------------------------------------------
# Lambda: functions are kept here and run by Carnation's endpoint. moto drops LoggingConfig and KMSKeyArn, answers a code
# location that does not exist, and an update of the code leaves the architecture as it was.

from moto.awslambda import models as lambda_models  # noqa: E402
from moto.awslambda.exceptions import InvalidParameterValueException, LambdaClientError  # noqa: E402
from moto.s3.exceptions import S3ClientError  # noqa: E402

CODE_PATH = "/_carnation/function-code/"


def fill_lambda():
    function = lambda_models.LambdaFunction
    initialise, configuration, configure = function.__init__, function.get_configuration, function.update_configuration
    code_answer, update_code = function.get_code, function.update_function_code
    backend = lambda_models.LambdaBackend
    create = backend.create_function

    def __init__(self, account_id, spec, region, version=1):
        initialise(self, account_id, spec, region, version)
        self.logging_config = spec.get("LoggingConfig") or {}
        self.kms_key_arn = spec.get("KMSKeyArn") or None

    def get_configuration(self, on_create=False):
        answer = configuration(self, on_create)
        default = {"LogFormat": "Text", "LogGroup": "/aws/lambda/" + self.function_name}
        answer["LoggingConfig"] = dict(default, **self.logging_config)
        if self.kms_key_arn:
            answer["KMSKeyArn"] = self.kms_key_arn
        return answer

    def update_configuration(self, config_updates):
        changes = dict(config_updates)
        self.logging_config = changes.pop("LoggingConfig", self.logging_config)
        self.kms_key_arn = changes.pop("KMSKeyArn", self.kms_key_arn) or None
        self.tracing_config = changes.pop("TracingConfig", self.tracing_config)
        if "EphemeralStorage" in changes:
            self.ephemeral_storage = changes.pop("EphemeralStorage")["Size"]
        if "Environment" in changes:
            changes["Environment"] = {"Variables": changes["Environment"].get("Variables", {})}
        configure(self, changes)
        self.last_modified = lambda_models.iso_8601_datetime_with_nanoseconds()
        return self.get_configuration()

    def update_function_code(self, updated_spec):
        if "S3Key" in updated_spec:  # moto takes an object that is not there for an empty zip
            place = updated_spec["S3Bucket"], updated_spec["S3Key"]
            try:
                found = lambda_models.s3_backends[ACCOUNT_ID][self.partition].get_object(*place)
            except S3ClientError:
                found = None
            if found is None:
                raise InvalidParameterValueException("Error occurred while GetObject: s3://%s/%s does not exist" % place)
        update_code(self, updated_spec)
        if updated_spec.get("Architectures"):
            self.architectures = updated_spec["Architectures"]
        self.last_modified = lambda_models.iso_8601_datetime_with_nanoseconds()
        return self.get_configuration()

    def get_code(self):
        answer = code_answer(self)
        answer["Code"] = {
            "RepositoryType": "S3",
            "Location": "%s%s%s/%s" % (ENDPOINT_URL, CODE_PATH, self.region, self.function_name),
        }
        if self.reserved_concurrency is not None:  # 0 is a reservation too: it stops a function
            answer["Concurrency"] = {"ReservedConcurrentExecutions": int(self.reserved_concurrency)}
        return answer

    def create_function(self, spec):
        if spec.get("FunctionName") in self._lambdas._functions:
            error = LambdaClientError("ResourceConflictException", "Function already exist: " + spec["FunctionName"])
            error.code = 409
            raise error
        return create(self, spec)

    for method in (__init__, get_configuration, update_configuration, update_function_code, get_code):
        setattr(function, method.__name__, method)
    backend.create_function = create_function


def function_code(path):
    """The zip of a function as it is deployed now, or None."""
    region, _, name = urllib.parse.unquote(path[len(CODE_PATH):]).partition("/")
    try:
        return lambda_models.lambda_backends[ACCOUNT_ID][region].get_function(name).code_bytes
    except Exception:
        return None


# ---------------------------------------------------------------------------------------------------------------------
# Threads: the server answers each request in a thread of its own, and moto's backends change plain dicts and lists. Two
# receives could hand out one message, two updates of one item could each see no createdUnixTime.

def serialise(backend, waiting=()):
    """Lets one thread at a time into a backend class, except into the methods that wait for something."""
    lock = threading.RLock()

    def one_at_a_time(method):
        @functools.wraps(method)
        def locked(*args, **kwargs):
            with lock:
                return method(*args, **kwargs)

        return locked

    for name, method in list(vars(backend).items()):
        if inspect.isfunction(method) and not name.startswith("_") and name not in waiting:
            setattr(backend, name, one_at_a_time(method))
    return lock


def fill_locks():
    from moto.cloudwatch.models import CloudWatchBackend
    from moto.dynamodb.models import DynamoDBBackend
    from moto.iam.models import IAMBackend
    from moto.kms.models import KmsBackend
    from moto.logs.models import LogsBackend
    from moto.sns.models import SNSBackend

    for backend in (CloudWatchBackend, DynamoDBBackend, IAMBackend, KmsBackend, LogsBackend, SNSBackend):
        serialise(backend)
    serialise(lambda_models.LambdaBackend)


# ---------------------------------------------------------------------------------------------------------------------
# SQS. moto accepts any receipt handle that a message ever had, so that a consumer whose claim has ended can delete or
# release what another one is working on; it keeps messages past their retention; RedriveAllowPolicy cannot be read.

from moto.sqs import models as sqs_models  # noqa: E402
from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid  # noqa: E402


def fill_sqs():
    queue, backend, message = sqs_models.Queue, sqs_models.SQSBackend, sqs_models.Message
    receive, delete = backend.receive_message, queue.delete_message
    change_visibility, set_attributes = backend.change_message_visibility, queue._set_attributes
    queue.BASE_ATTRIBUTES = queue.BASE_ATTRIBUTES + ["RedriveAllowPolicy"]
    queue.redrive_allow_policy = None
    # The URL of a queue is the endpoint's, whichever way the request for it came.
    queue.url = lambda self, request_url: "%s/%s/%s" % (ENDPOINT_URL, self.account_id, self.name)
    # moto counts its messages anew, with the time taken anew for each, at every send and for each message received: a
    # second for the hundredth message of a queue of a thousand.
    clock = sqs_models.unix_time_millis

    def count(condition):
        return property(lambda self: sum(map(functools.partial(condition, clock()), self._messages)))

    def visible_messages(self):
        t = clock()
        return [m for m in self._messages if m.delayed_until <= t and m.visible_at < t]

    queue.approximate_number_of_messages_delayed = count(lambda t, m: t < m.delayed_until)
    queue.approximate_number_of_messages_not_visible = count(lambda t, m: t <= m.visible_at)
    queue.approximate_number_of_messages = count(lambda t, m: m.delayed_until <= t and m.visible_at < t)
    queue.messages = property(visible_messages)
    backend.is_message_valid_based_on_retention_period = lambda self, queue_name, message: True  # see drop_expired
    # moto remembers every message there ever was, for its dashboard.
    message.__new__ = lambda cls, *args, **kwargs: object.__new__(cls)

    def _set_attributes(self, attributes, now=None):
        """moto forgets the policy of a queue when anything else about it is set."""
        kept = self.policy if hasattr(self, "_policy_json") else None
        attributes = dict(attributes)
        for name in ("KmsMasterKeyId", "RedriveAllowPolicy"):
            if attributes.get(name) == "":
                attributes[name] = None
        if attributes.get("KmsMasterKeyId"):
            attributes["SqsManagedSseEnabled"] = "false"  # one of the two: a customer's key, or SQS's own
        set_attributes(self, attributes, now)
        if "Policy" not in attributes:
            self.policy = kept
        self.created_timestamp = int(self.created_timestamp)  # whole seconds, as AWS counts them
        self.last_modified_timestamp = int(self.last_modified_timestamp)

    def held(self, receipt_handle):
        """The message that was received with this handle, whether or not the handle is still its latest."""
        return next((m for m in self._messages if m.had_receipt_handle(receipt_handle)), None)

    def delete_message(self, receipt_handle):
        found = held(self, receipt_handle)
        if found is not None and found.receipt_handle != receipt_handle:
            return  # AWS: with an older handle "the request succeeds, but the message might not be deleted"
        delete(self, receipt_handle)

    def change_message_visibility(self, queue_name, receipt_handle, visibility_timeout):
        source = self.get_queue(queue_name)
        found = held(source, receipt_handle)
        known = found is not None or receipt_handle in source.deleted_messages
        if known and (found is None or found.receipt_handle != receipt_handle or found.visible):
            raise InvalidParameterValue(
                "Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available "
                "for visibility timeout change." % receipt_handle
            )
        if found is None:
            raise ReceiptHandleIsInvalid
        change_visibility(self, queue_name, receipt_handle, visibility_timeout)
        if int(visibility_timeout) == 0:
            found.visible_at = 0.0  # at once, not from the next millisecond on
            with source._messages_lock:
                source._messages_lock.notify_all()

    def drop_expired(source):
        oldest = sqs_models.unix_time_millis() - 1000 * int(source.message_retention_period)
        if any(m.sent_timestamp <= oldest for m in source._messages):
            source._messages = [m for m in source._messages if m.sent_timestamp > oldest]

    def receive_message(self, queue_name, count, wait_seconds_timeout, visibility_timeout, message_attribute_names=None):
        """Long polling that holds no lock while it waits."""
        deadline = time.monotonic() + wait_seconds_timeout
        while True:
            source = self.get_queue(queue_name)
            with lock:
                drop_expired(source)
                messages = receive(self, queue_name, count, 0, visibility_timeout, message_attribute_names)
            left = deadline - time.monotonic()
            if messages or left <= 0:
                return messages
            with source._messages_lock:
                source._messages_lock.wait_for(lambda: source.messages, timeout=min(left, 0.5))

    queue._set_attributes, queue.delete_message = _set_attributes, delete_message
    backend.change_message_visibility = change_message_visibility
    lock = serialise(backend, waiting=("receive_message",))
    backend.receive_message = receive_message


# ---------------------------------------------------------------------------------------------------------------------
# Step Functions, the engine: what it costs. moto makes a client a call, parses each JSONPath and each definition anew,
# copies with deepcopy, prints a component tree into a log at each failure, and keeps every thread it ever started.

from moto.core.exceptions import AWSError  # noqa: E402
from moto.stepfunctions import responses as sfn_responses  # noqa: E402
from moto.stepfunctions.exceptions import InvalidName, InvalidToken, ValidationException  # noqa: E402
from moto.stepfunctions.parser import models as engine_models  # noqa: E402
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType  # noqa: E402
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name, error_equals_decl  # noqa: E402
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName  # noqa: E402
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (  # noqa: E402
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.path import result_path  # noqa: E402
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent  # noqa: E402
from moto.stepfunctions.parser.asl.component.common.flow.start_at import StartAt  # noqa: E402
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import (  # noqa: E402
    inline_iteration_component,
    iteration_worker,
    job,
)
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField  # noqa: E402
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (  # noqa: E402
    inline_item_processor_worker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils  # noqa: E402
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (  # noqa: E402
    state_task_service_aws_sdk,
    state_task_service_lambda,
    state_task_service_sqs,
)
from moto.stepfunctions.parser.asl.eval import program_state  # noqa: E402
from moto.stepfunctions.parser.asl.eval.event import event_manager  # noqa: E402
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser  # noqa: E402
from moto.stepfunctions.parser.asl.utils import json_path  # noqa: E402
from moto.stepfunctions.parser.backend import execution as engine_execution  # noqa: E402
from moto.stepfunctions.parser.backend import execution_worker  # noqa: E402

ENGINE = "moto.stepfunctions.parser"


class InvalidDefinition(AWSError):
    """moto raises one without an error code."""

    TYPE = "InvalidDefinition"
    STATUS = 400


class Discarded(list):
    """Takes the place of a list that only ever grows."""

    def append(self, item):
        pass


def copy_json(value, memo=None):
    """deepcopy for what states hand on, which is JSON; anything else goes to the real one."""
    kind = type(value)
    if kind is dict:
        return {name: copy_json(one) for name, one in value.items()}
    if kind is list:
        return [copy_json(one) for one in value]
    if kind in (str, int, float, bool, type(None)):
        return value
    return copy.deepcopy(value, memo)


def to_json(value, separators=None):
    """JSON as AWS writes it into histories and strings: compact, and characters as they are."""
    return json.dumps(value, default=lambda o: o.isoformat() if hasattr(o, "isoformat") else str(o),
                      ensure_ascii=False, separators=(",", ":"))


def warm_up():
    """Does what the first execution would wait for, while nobody waits: two clients, and the JSONPath parser."""
    for service in ("lambda", "sqs"):
        engine_client("us-east-1", service)
    parsed_path("$.items[*]")


def fill_engine_costs():
    replace_everywhere(ENGINE, "boto_client_for", engine_client)
    replace_everywhere(ENGINE, "TMP_THREADS", Discarded())
    replace_everywhere(ENGINE, "copy", types.SimpleNamespace(deepcopy=copy_json, copy=copy.copy))
    EvalComponent._log_failure_event_exception = lambda self, failure_event_exception: None
    EvalComponent._log_exception = lambda self, exception: None
    replace_everywhere(ENGINE, "to_json_str", to_json)
    result_path.parse = lambda path: parsed_path(path)[0]
    job.JobPool.get_closed_jobs = lambda self: sorted(self._closed_jobs, key=lambda closed: closed.job_index)
    parse = functools.lru_cache(maxsize=20)(AmazonStateLanguageParser.parse)
    parse_once = AmazonStateLanguageParser.parse

    def validate_definition(definition):
        try:
            AmazonStateLanguageParser.parse(definition)
        except Exception as error:
            raise InvalidDefinition("Invalid State Machine Definition: '%s'" % error)

    engine_models.StepFunctionsParserBackend._validate_definition = staticmethod(validate_definition)

    def parse_definition(definition):
        # A Distributed Map's component holds the state of its run; all others keep theirs in the environment.
        return parse_once(definition) if '"DISTRIBUTED"' in definition else parse(definition)

    AmazonStateLanguageParser.parse = staticmethod(parse_definition)

    def eval_pool(self, job, worker_frame):
        """moto's method calls itself for each item: a worker with a few hundred items overflows the stack."""
        while job is not None:
            frame = worker_frame.open_inner_frame()
            self._eval_job(env=frame, job=job)
            worker_frame.close_frame(frame)
            failed = isinstance(job.job_output, Exception) or self.stopped()
            following = None if failed else self._job_pool.next_job()
            if following is None:
                if not failed:
                    worker_frame.event_history_context.source_event_id = frame.event_history_context.last_published_event_id
                self._env.close_frame(worker_frame)
            self._job_pool.close_job(job)
            if following is None:
                return
            job = following
        self._env.close_frame(worker_frame)

    def eval_input(self, env_frame):
        """moto's method copies the Map's whole input for each of its items."""
        selector = self._item_selector or self._parameters
        if selector:
            whole_input = self._env.stack[-1]
            env_frame.states._states_data["input"] = whole_input
            env_frame.stack.append(whole_input)
            selector.eval(env_frame)
            env_frame.states.reset(input_value=env_frame.stack[-1])

    iteration_worker.IterationWorker._eval_pool = eval_pool
    inline_item_processor_worker.InlineItemProcessorWorker._eval_input = eval_input


# ---------------------------------------------------------------------------------------------------------------------
# Step Functions, JSONPath. AWS: a path that can name one place only gives its value, any other gives a list, which may
# be empty. moto decides by how many matches there are: `$.a[0].b` is a list of one, `$[*].a[*]` over nothing an error.

PATHS = {}
PATHS_LOCK = threading.Lock()


def parsed_path(path):
    """A parse takes 30 ms: under a lock, as the workers of a Map would all parse the same new path at once."""
    if path not in PATHS:
        with PATHS_LOCK:
            if path not in PATHS:
                expression = jsonpath_ng.ext.parse(path)
                PATHS[path] = expression, one_place_part(expression)
    return PATHS[path]


def names_one_place(expression):
    if isinstance(expression, jsonpath_ng.Child):
        return names_one_place(expression.left) and names_one_place(expression.right)
    if isinstance(expression, jsonpath_ng.Fields):
        return len(expression.fields) == 1 and expression.fields[0] != "*"
    if isinstance(expression, jsonpath_ng.Index):
        return len(getattr(expression, "indices", (0,))) == 1
    return isinstance(expression, (jsonpath_ng.Root, jsonpath_ng.This))


def one_place_part(expression):
    """The longest beginning of a path that names one place: it must be there, even if what follows matches nothing."""
    while not names_one_place(expression):
        if not isinstance(expression, jsonpath_ng.Child):
            return None
        expression = expression.left
    return expression


def extract_json(path, data):
    expression, beginning = parsed_path(path)
    matches = expression.find(data)
    if beginning is expression:
        if not matches:
            raise json_path.NoSuchJsonPathError(json_path=path, data=data)
        return matches[0].value
    if not matches and beginning is not None and not beginning.find(data):
        raise json_path.NoSuchJsonPathError(json_path=path, data=data)
    return [match.value for match in matches]


# ---------------------------------------------------------------------------------------------------------------------
# Step Functions, errors. A task's failure has a name that Retry and Catch match. moto ends the whole execution when the
# endpoint gives no answer, when a function's answer is not JSON, and when an error inside a Map is a States.* one.

UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")


def task_failed(task, env, error, cause):
    details = {"error": error, "cause": cause, "resource": task._get_sfn_resource(), "resourceType": task._get_sfn_resource_type()}
    name = custom_error_name.CustomErrorName(error)
    return FailureEvent(env=env, error_name=name, event_type=HistoryEventType.TaskFailed, event_details={"taskFailedEventDetails": details})


def function_error(payload):
    """The error name and cause of a function that failed, from the payload of its answer."""
    try:
        error = json.loads(payload)["errorType"]
    except (ValueError, KeyError, TypeError):
        error = None
    return (error if isinstance(error, str) and error else "Lambda.Unknown"), payload


def service_error(answer, service, generic):
    """`Lambda.TooManyRequestsException`; an answer without a usable error code gets the service's general name."""
    code = answer.response.get("Error", {}).get("Code", "")
    code = code.rsplit(".", 1)[-1]
    if not re.fullmatch(r"[A-Za-z]\w*", code) or code == "Unknown":
        code = generic
    return "%s.%s" % (service, code if code.endswith("Exception") else code + "Exception")


def fill_engine_errors():
    def from_error_of(kind, service, generic, keeps_code):
        inherited = kind._from_error

        def _from_error(self, env, ex):
            if isinstance(ex, lambda_eval_utils.LambdaFunctionErrorException):
                return task_failed(self, env, *function_error(ex.payload))
            if isinstance(ex, botocore.exceptions.ClientError):
                name = service or self.resource.api_name[:1].upper() + self.resource.api_name[1:]
                error = service_error(ex, name, generic or name) if keeps_code else "%s.%s" % (name, generic)
                status = ex.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                code = ex.response.get("Error", {}).get("Code")
                cause = "%s (Service: %s; Status Code: %s; Error Code: %s)" % (ex.response["Error"].get("Message"), name, status, code)
                return task_failed(self, env, error, cause)
            if isinstance(ex, (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError, OSError)) and not isinstance(ex, TimeoutError):
                name = service or self.resource.api_name[:1].upper() + self.resource.api_name[1:]
                return task_failed(self, env, name + ".SdkClientException", "Unable to execute HTTP request: %s" % ex)
            return inherited(self, env, ex)

        kind._from_error = _from_error

    from_error_of(state_task_service_lambda.StateTaskServiceLambda, "Lambda", "AWSLambdaException", True)
    from_error_of(state_task_service_sqs.StateTaskServiceSqs, "SQS", "AmazonSQSException", False)
    from_error_of(state_task_service_aws_sdk.StateTaskServiceAwsSdk, None, None, True)

    def from_payload(stream):
        text = stream.read().decode("utf-8", errors="replace")
        try:
            return json.loads(text)
        except ValueError:
            return text

    lambda_eval_utils._from_payload = from_payload
    # An iteration's error name comes back through this class, also when it is one of States'.
    custom_error_name.CustomErrorName.__init__ = ErrorName.__init__
    matches = error_equals_decl.ErrorEqualsDecl._eval_body

    def _eval_body(self, env):
        if env.stack[-1] is not None and env.stack[-1].error_name in UNCATCHABLE:
            named = [one.error_name for one in self.error_names]
            env.stack[-1] = env.stack[-1].error_name == "States.Runtime" and "States.Runtime" in named
        else:
            matches(self, env)

    error_equals_decl.ErrorEqualsDecl._eval_body = _eval_body

    describe_failure = FailureEventException.get_execution_failed_event_details

    def get_execution_failed_event_details(self):
        """moto says where an error happened once more at every Map that it comes out of."""
        error, cause = self.extract_error_cause_pair() or (None, None)
        if cause and cause.startswith("An error occurred while executing the state"):
            return {"error": error, "cause": cause}
        return describe_failure(self)

    FailureEventException.get_execution_failed_event_details = get_execution_failed_event_details

    def is_within_size_quota(value):
        text = value if isinstance(value, str) else to_json(value)
        return len(text.encode("utf-8", errors="replace")) <= 256 * 1024

    replace_everywhere(ENGINE, "is_within_size_quota", is_within_size_quota)


# ---------------------------------------------------------------------------------------------------------------------
# Step Functions, executions: how one starts, ends and is looked at. moto names an unnamed one "None", runs a machine
# once (its deepcopy meets a lock), waits for the running task before it stops, gives no reason for it, has no pages in a
# history and no end to it.

HISTORY_LIMIT = 25000
FINAL_EVENTS = {
    HistoryEventType.ExecutionSucceeded,
    HistoryEventType.ExecutionFailed,
    HistoryEventType.ExecutionAborted,
    HistoryEventType.ExecutionTimedOut,
}
EXECUTION_DATA = ("input", "inputDetails", "output", "outputDetails", "parameters", "result")
START_LOCK = threading.Lock()


def start_execution(self, state_machine_arn, name=None, execution_input=None, trace_header=None):
    machine = self.describe_state_machine(state_machine_arn)
    name = str(uuid.uuid4()) if name is None else name
    self._validate_name(name)
    text = "{}" if execution_input is None else execution_input
    if len(text.encode("utf-8")) > 256 * 1024:
        raise ValidationException(
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            "Member must have length less than or equal to 262144"
        )
    machine._validate_execution_input(text)
    with START_LOCK:
        existing = machine._handle_name_input_idempotency(name, text)
        if existing is not None:
            return existing
        as_it_is = copy.copy(machine)  # what a later update changes is not this execution's
        as_it_is.executions = []
        execution = engine_execution.Execution(
            name=name,
            sm_type=as_it_is.sm_type,
            role_arn=as_it_is.roleArn,
            exec_arn=machine.arn.replace(":stateMachine:", ":execution:", 1) + ":" + name,
            account_id=self.account_id,
            region_name=self.region_name,
            state_machine=as_it_is,
            start_date=now(),
            cloud_watch_logging_session=None,
            input_data=text,
            trace_header=trace_header,
            activity_store={},
        )
        execution.end_lock, execution.journey = threading.RLock(), Journey()
        execution.redrive_count, execution.redrive_date = 0, None
        execution.start()
        machine.executions.append(execution)
    return execution


def end_execution(execution, status, output=None, error=None, cause=None):
    """The first end counts: what a task does after its execution was stopped changes nothing any more."""
    with execution.end_lock:
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        execution.output, execution.error, execution.cause = output, error, cause
        execution.stop_date = now()
        execution.exec_status = status


def run_execution(self):
    """In place of ExecutionWorker._execution_logic: an execution ends, whatever happens in the engine."""
    execution = self._execution_communication.execution
    try:
        if execution.redrive_count:
            resume_execution(self, execution.journey)
        else:
            run_to_the_end(self)
    except Exception as error:
        log.error("execution %s: %s: %s", execution.name, type(error).__name__, error)
        end_execution(execution, ExecutionStatus.FAILED, error="States.Runtime", cause=str(error))


run_to_the_end = execution_worker.ExecutionWorker._execution_logic


def reflect_end(self):
    """In place of BaseExecutionWorkerCommunication.terminated."""
    execution, env = self.execution, self.execution.exec_worker.env
    state = env.program_state()
    if isinstance(state, program_state.ProgramEnded):
        end_execution(execution, ExecutionStatus.SUCCEEDED, output=env.states.get_input())
    elif isinstance(state, program_state.ProgramTimedOut):
        env.event_manager.add_event(env.event_history_context, HistoryEventType.ExecutionTimedOut, {"executionTimedOutEventDetails": {}})
        end_execution(execution, ExecutionStatus.TIMED_OUT)
    elif isinstance(state, program_state.ProgramError):
        end_execution(execution, ExecutionStatus.FAILED, error=state.error.get("error"), cause=state.error.get("cause"))
    else:
        end_execution(execution, ExecutionStatus.ABORTED)


def stop_now(execution, error, cause):
    env = wait_for_environment(execution)
    with execution.end_lock:
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        details = {name: value for name, value in (("error", error), ("cause", cause)) if value}
        env.event_manager.add_event(event_manager.EventHistoryContext.of_program_start(), HistoryEventType.ExecutionAborted,
                                    {"executionAbortedEventDetails": details})
        end_execution(execution, ExecutionStatus.ABORTED, error=error, cause=cause)
    env.set_stop(stop_date=execution.stop_date, error=error, cause=cause)


def wait_for_environment(execution):
    """The environment of an execution that has just been started, once its thread has made it."""
    while execution.exec_worker.env is None or execution.exec_worker.env.next_state_name is None:
        if execution.exec_status != ExecutionStatus.RUNNING:
            break
        time.sleep(0.005)
    return execution.exec_worker.env


def add_event(self, context, event_type, event_details=None, timestamp=None, update_source_event_id=True):
    """In place of EventManager.add_event: nothing follows an execution's last event, and a history has an end."""
    with self._mutex:
        events = self._history_event_list
        if getattr(self, "closed", False):
            return events[-1]["id"]
        full = len(events) == HISTORY_LIMIT - 1 and event_type not in FINAL_EVENTS
        if full:
            cause = "The execution reached the maximum number of history events (%d)." % HISTORY_LIMIT
            event_type, event_details = HistoryEventType.ExecutionFailed, {"executionFailedEventDetails": {"cause": cause}}
        event = dict(event_details or {})
        event["id"] = len(events) + 1
        event["previousEventId"] = context.source_event_id
        event["type"] = event_type
        event["timestamp"] = timestamp or now()
        context.last_published_event_id = event["id"]
        if update_source_event_id:
            context.source_event_id = event["id"]
        events.append(event)
        self.closed = event_type in FINAL_EVENTS
    if full:
        self.when_full(event["executionFailedEventDetails"])
    return event["id"]


def page(items, token, size):
    """One page of a list and the token of the next; a token says where to go on, so a list may grow meanwhile."""
    try:
        start = int(base64.b64decode(token)) if token else 0
    except ValueError:
        raise InvalidToken("'Invalid token'")
    end = start + (size or 100)
    return items[start:end], (base64.b64encode(str(end).encode()).decode() if end < len(items) else None)


def without_data(event):
    return {
        name: {n: v for n, v in value.items() if n not in EXECUTION_DATA} if isinstance(value, dict) else value
        for name, value in event.items()
    }


class StepFunctionsAnswers:
    """What takes the place of moto's responses of the same name."""

    def page_size(self):
        size = self._get_int_param("maxResults")
        if size is not None and not 0 <= size <= 1000:
            raise ValidationException(
                "1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: "
                "Member must have value less than or equal to 1000" % size
            )
        return size

    def describe_execution(self):
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        answer = execution.to_describe_output()
        answer["status"] = execution.exec_status.value
        answer["input"] = execution.execution_input
        answer.update(redrive_answer(execution))
        return sfn_responses.ActionResult({name: value for name, value in answer.items() if value is not None})

    def list_executions(self):
        machine = self.stepfunction_backend.describe_state_machine(self._get_param("stateMachineArn"))
        wanted = self._get_param("statusFilter")
        newest_first = [e for e in reversed(list(machine.executions)) if not wanted or e.status == wanted]
        executions, token = page(newest_first, self._get_param("nextToken"), self.page_size())
        listed = [
            {"executionArn": e.execution_arn, "stateMachineArn": machine.arn, "name": e.name, "status": e.status,
             "startDate": e.start_date, "stopDate": e.stop_date, "redriveCount": e.redrive_count, "redriveDate": e.redrive_date}
            for e in executions
        ]
        return sfn_responses.ActionResult({"executions": listed, "nextToken": token})

    def get_execution_history(self):
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        env = execution.exec_worker.env
        events = list(env.event_manager._history_event_list) if env is not None else []
        if self._get_bool_param("reverseOrder", False):
            events.reverse()
        events, token = page(events, self._get_param("nextToken"), self.page_size())
        if not self._get_bool_param("includeExecutionData", True):
            events = [without_data(event) for event in events]
        return sfn_responses.ActionResult({"events": events, "nextToken": token})

    def redrive_execution(self):
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        redrive(execution)
        return sfn_responses.ActionResult({"redriveDate": execution.redrive_date})

    def stop_execution(self):
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        stop_now(execution, self._get_param("error"), self._get_param("cause"))
        return sfn_responses.ActionResult({"stopDate": execution.stop_date})


def delete_state_machine(self, arn):
    """AWS stops the executions of a machine that is deleted; moto leaves them running, and calling."""
    self._validate_machine_arn(arn)
    for machine in [m for m in self.state_machines if m.arn == arn]:
        for execution in machine.executions:
            stop_now(execution, None, None)
        self.state_machines.remove(machine)


# ---------------------------------------------------------------------------------------------------------------------
# Step Functions, redrive, which moto has not: an execution that failed, was stopped or timed out goes on in the state
# that it was in, with that state's input and the definition it began with; a Map runs only the items that have no result.

class Journey:
    """Where an execution is: its state, that state's input, and the results of its Map's items by their index."""

    def __init__(self):
        self.state_name, self.input, self.finished, self.redriven = None, None, {}, False


class ExecutionNotRedrivable(AWSError):
    TYPE = "ExecutionNotRedrivable"
    STATUS = 400


def redrive_answer(execution):
    status = execution.exec_status
    answer = {"redriveCount": execution.redrive_count, "redriveDate": execution.redrive_date, "redriveStatus": "REDRIVABLE"}
    if status in (ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED):
        answer["redriveStatus"] = "NOT_REDRIVABLE"
        answer["redriveStatusReason"] = "Execution is %s and cannot be redriven" % status.value
    elif len(execution.exec_worker.env.event_manager._history_event_list) >= HISTORY_LIMIT - 1:
        answer["redriveStatus"] = "NOT_REDRIVABLE"
        answer["redriveStatusReason"] = "Execution has reached the maximum number of history events and cannot be redriven"
    return answer


def redrive(execution):
    with execution.end_lock:
        answer = redrive_answer(execution)
        if answer["redriveStatus"] != "REDRIVABLE":
            raise ExecutionNotRedrivable(answer["redriveStatusReason"])
        history = execution.exec_worker.env.event_manager
        execution.redrive_count += 1
        execution.redrive_date = now()
        execution.stop_date = execution.error = execution.cause = execution.output = None
        execution.exec_status = ExecutionStatus.RUNNING
        execution.journey.redriven = True
        worker = execution._get_start_execution_worker()
        worker.env = worker._get_evaluation_environment()
        # The same history, but not the same manager of it: tasks that outlived the end still hold the old one.
        worker.env.event_manager._history_event_list, worker.env.event_manager._mutex = history._history_event_list, history._mutex
        worker.env.event_manager.add_event(worker.env.event_history_context, HistoryEventType.ExecutionRedriven,
                                           {"executionRedrivenEventDetails": {"redriveCount": execution.redrive_count}})
        execution.exec_worker = worker
        worker.start()


def resume_execution(worker, journey):
    program = AmazonStateLanguageParser.parse(worker._evaluation_details.state_machine_details.definition)[0]
    if journey.state_name is not None:
        program = copy.copy(program)
        program.start_at = StartAt(journey.state_name)
        worker.env.states.reset(journey.input)
    program.eval(worker.env)
    worker._execution_communication.terminated()


class ResumedJobs(job.JobPool):
    """The items of a Map, of which a redrive leaves out those that have a result."""

    mine = threading.local()  # `finished`: the results of the Map that this thread is about to run

    def __init__(self, job_program, job_inputs):
        super().__init__(job_program, job_inputs)
        self.finished = getattr(self.mine, "finished", {})
        self._closed_jobs.update(job.JobClosed(index, output) for index, output in self.finished.items())
        self._open_jobs[:] = [one for one in self._open_jobs if one.job_index not in self.finished]

    def close_job(self, job):
        with self._mutex:
            # Once the Map has failed, what comes from its other items is cut off, and no result.
            if not self._is_terminated() and not isinstance(job.job_output, Exception):
                self.finished[job.job_index] = job.job_output
        super().close_job(job)


def fill_redrive():
    enter, run_map = CommonStateField._eval_body, inline_iteration_component.InlineIterationComponent._eval_body

    def enter_state(self, env):
        journey = env.event_manager.journey
        if not env.is_frame() and not (journey.redriven and journey.state_name == self.name):
            journey.state_name, journey.input, journey.finished = self.name, env.states.get_input(), {}
        enter(self, env)

    def run_inline_map(self, env):
        journey, name = env.event_manager.journey, env.stack[-1].state_name
        outermost = name == journey.state_name
        if outermost and not journey.redriven:
            journey.finished = {}
        ResumedJobs.mine.finished = journey.finished if outermost else {}
        journey.redriven = journey.redriven and not outermost
        run_map(self, env)

    CommonStateField._eval_body = enter_state
    inline_iteration_component.InlineIterationComponent._eval_body = run_inline_map
    inline_iteration_component.JobPool = ResumedJobs


def fill_step_functions():
    backend = engine_models.StepFunctionsParserBackend
    backend.start_execution, backend.delete_state_machine = start_execution, delete_state_machine
    take_over(sfn_responses.StepFunctionResponse, StepFunctionsAnswers)
    worker = execution_worker.ExecutionWorker
    make_environment = worker._get_evaluation_environment

    def _get_evaluation_environment(self):
        env = make_environment(self)
        env.event_manager.when_full = lambda failure: env.set_error(failure)
        execution = self._execution_communication.execution
        env.event_manager.journey = execution.journey
        env.states.context_object.context_object_data["Execution"]["RedriveCount"] = execution.redrive_count
        return env

    worker._get_evaluation_environment, worker._execution_logic = _get_evaluation_environment, run_execution
    engine_execution.BaseExecutionWorkerCommunication.terminated = reflect_end
    event_manager.EventManager.add_event = add_event
    replace_everywhere(ENGINE, "extract_json", extract_json)
    fill_engine_costs()
    fill_engine_errors()
    fill_redrive()


# ---------------------------------------------------------------------------------------------------------------------
# The server. werkzeug closes the connection after every answer and writes a stack trace when moto fails; this one keeps
# connections, and a failure is one line here and an error of the service's own kind for the caller.

class Handler11(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for an answer, not one for each header
    disable_nagle_algorithm = True

    def log(self, *args):
        pass

    def log_request(self, *args):
        pass

    def address_string(self):
        return self.client_address[0]

    def run_wsgi(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        environ = self.make_environ()
        if "wsgi.input_terminated" in environ:
            body = environ["wsgi.input"].read()
            environ["CONTENT_LENGTH"] = str(len(body))
        else:
            body = self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        status, headers, answer = answer_to(self.server.app, environ)
        code, _, reason = status.partition(" ")
        self.send_response_only(int(code), reason)
        named = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "date" not in named:
            self.send_header("Date", self.date_time_string())
        if "content-length" not in named and int(code) not in (204, 304):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)
        self.wfile.flush()


def answer_to(app, environ):
    """Runs the application; answers (status line, headers, body)."""
    started = []

    def start_response(status, headers, exc_info=None):
        started[:] = [status, headers]
        return lambda data: None

    path = environ.get("PATH_INFO", "")
    if path.startswith(CODE_PATH):
        code = function_code(path)
        if code is None:
            return "404 Not Found", [("Content-Type", "text/plain")], b"no such function\n"
        return "200 OK", [("Content-Type", "application/zip")], code
    try:
        parts = app(environ, start_response)
        try:
            body = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return started[0], started[1], body
    except Exception as error:
        action = environ.get("HTTP_X_AMZ_TARGET") or "%s %s" % (environ.get("REQUEST_METHOD"), path)
        log.error("%s: %s: %s", action, type(error).__name__, error)
        log.debug("", exc_info=True)
        return internal_failure(environ, "%s: %s" % (type(error).__name__, error))


def internal_failure(environ, message):
    if "json" in environ.get("CONTENT_TYPE", "") or "HTTP_X_AMZ_TARGET" in environ:
        body = json.dumps({"__type": "InternalFailure", "message": message}).encode()
        return "500 Internal Server Error", [("Content-Type", "application/x-amz-json-1.1")], body
    body = "<ErrorResponse><Error><Type>Receiver</Type><Code>InternalFailure</Code><Message>%s</Message></Error></ErrorResponse>"
    escaped = message.replace("&", "&amp;").replace("<", "&lt;")
    return "500 Internal Server Error", [("Content-Type", "text/xml")], (body % escaped).encode()


def exit_with_parent():
    """Ends the process when standard input closes."""
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def main():
    global OWN_URL
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="moto_server: %(levelname)s %(message)s")
    for noisy in ("moto", "botocore", "urllib3", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    announce = sys.stdout
    sys.stdout = sys.stderr  # moto prints; standard output is for the one line
    threading.Thread(target=exit_with_parent, daemon=True).start()

    from moto.core.config import default_user_config
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    default_user_config["stepfunctions"]["execute_state_machine"] = True
    fill_cloudformation()
    fill_lambda()
    fill_locks()
    fill_sqs()
    fill_step_functions()

    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True, request_handler=Handler11)
    server.daemon_threads = True
    OWN_URL = "http://127.0.0.1:%d" % server.server_port
    print(json.dumps({"port": server.server_port}), file=announce, flush=True)
    threading.Thread(target=warm_up, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
