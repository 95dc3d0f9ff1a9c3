"""CloudFormation's templates: reads them and evaluates their functions. moto splits `!GetAtt A.Outputs.B` at every dot, keeps
NoValue in lists, ignores Rules, and accepts any value for a parameter. AWS refuses a template that breaks a rule before it
touches a resource. Functions and parameter types that Carnation's templates do not use are refused here by name. The Export
of an output has no effect.
"""

from __future__ import annotations

import functools
import re
import urllib.parse
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import yaml
from moto.cloudformation.exceptions import ValidationError

from clients import ACCOUNT_ID, own_client

if TYPE_CHECKING:
    from cloudformation.stacks import Record, Stack


def invalid(message: str) -> ValidationError:
    return ValidationError(message=message)


SECTIONS = ("AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions", "Resources", "Outputs")
ATTRIBUTES = ("Type", "Properties", "Condition", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Metadata")


class TemplateLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML as CloudFormation reads it: `!Ref x` is {"Ref": x}, and dates stay text."""


def construct_function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
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


@functools.lru_cache(maxsize=32)  # takes 5 to 30 ms; errors are not kept
def parse_template(text: str) -> dict[str, Any]:
    """Returns a template, which nobody may change: all stacks of the text have it."""
    try:
        template = yaml.load(text, Loader=TemplateLoader)
    except yaml.YAMLError as error:
        raise invalid("Template format error: YAML not well-formed. " + " ".join(str(error).split()))
    if not isinstance(template, dict):
        raise invalid("Template format error: unsupported structure.")
    if not isinstance(template.get("Resources"), dict) or not template["Resources"]:
        raise invalid("Template format error: At least one Resources member must be defined.")
    unknown = [name for name in template if name not in SECTIONS]
    if "Transform" in unknown or "Hooks" in unknown:
        raise invalid(f"Local AWS does not do {' and '.join(name for name in unknown if name in ('Transform', 'Hooks'))} of a template.")
    if unknown:
        raise invalid(f"Invalid template property or properties [{', '.join(map(str, unknown))}]")
    for name, resource in template["Resources"].items():
        if not isinstance(resource, dict) or "Type" not in resource:
            raise invalid(f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member.")
        unserved = [one for one in ("CreationPolicy", "UpdatePolicy") if one in resource]
        if unserved:
            raise invalid(f"Local AWS does not do {' and '.join(unserved)} of resource {name}.")
        others = [one for one in resource if one not in ATTRIBUTES]
        if others:
            raise invalid(f"Invalid template resource property '{others[0]}'")
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            if resource.get(policy) == "Snapshot":
                raise invalid(f"Template error: resource type {resource['Type']} does not support {policy} Snapshot")
    return template


def template_at(url: str, region: str) -> str:
    """Returns the text at a TemplateURL, in any form of S3's URLs."""
    parts = urllib.parse.urlparse(url)
    version = urllib.parse.parse_qs(parts.query).get("versionId")
    more = {"VersionId": version[0]} if version else {}
    host, path = parts.hostname or "", urllib.parse.unquote(parts.path.lstrip("/"))
    in_host = re.match(r"(.+)\.s3[.-]", host)
    bucket, _, key = (in_host.group(1), "", path) if in_host else path.partition("/")
    if not bucket or not key:
        raise invalid("TemplateURL must be a supported URL.")
    try:
        body = own_client("s3", region).get_object(Bucket=bucket, Key=key, **more)["Body"].read()
    except botocore.exceptions.ClientError as error:
        raise invalid(f"S3 error: {error.response['Error']['Message']} ({url})")
    return body.decode("utf-8")


def text_of(value: Any) -> str:
    """Returns a parameter's value as CloudFormation keeps it: as text, whatever YAML made of it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(text_of, value)) if isinstance(value, list) else str(value)


def check_parameter(name: str, declared: dict[str, Any], value: str) -> None:
    """Refuses a value that breaks a constraint of its parameter, with CloudFormation's message."""

    def refuse_unless(good: bool, default_message: str) -> None:
        if not good:
            described = declared.get("ConstraintDescription")
            if described:
                raise invalid(f"Parameter {name} failed to satisfy constraint: {described}")
            raise invalid(f"Parameter '{name}' must {default_message}")

    kind = declared.get("Type", "String")
    if kind == "Number":
        try:
            number = float(value)
        except ValueError:
            raise invalid(f"Parameter '{name}' must be a number")
        lowest, highest = declared.get("MinValue"), declared.get("MaxValue")
        refuse_unless(lowest is None or number >= float(lowest), f"be a number not less than {lowest}")
        refuse_unless(highest is None or number <= float(highest), f"be a number not greater than {highest}")
    elif kind == "String":
        shortest, longest = declared.get("MinLength"), declared.get("MaxLength")
        refuse_unless(shortest is None or len(value) >= int(shortest), f"contain at least {shortest} characters")
        refuse_unless(longest is None or len(value) <= int(longest), f"contain at most {longest} characters")
    else:
        raise invalid(f"Parameter '{name}' is a {kind}, which this local AWS does not support")
    if "AllowedValues" in declared:
        refuse_unless(value in map(text_of, declared["AllowedValues"]), "be one of AllowedValues")
    if "AllowedPattern" in declared:
        pattern = declared["AllowedPattern"]
        refuse_unless(re.fullmatch(pattern, value), f"match pattern {pattern}")


def resolve_parameters(template: dict[str, Any], given: dict[str, Any]) -> dict[str, str]:
    """Returns the value of every parameter of a template: the given one, or its default."""
    declared = template.get("Parameters") or {}
    unknown = [name for name in given if name not in declared]
    if unknown:
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = [name for name in declared if name not in given and "Default" not in declared[name]]
    if missing:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    values = {name: text_of(given.get(name, declared[name].get("Default"))) for name in declared}
    for name, value in values.items():
        check_parameter(name, declared[name], value)
    return values


class NoValue:
    """The value of `!Ref AWS::NoValue`: the property or the entry of a list does not exist."""


class Scope:
    """Evaluates the functions of one template, for one stack."""

    def __init__(self, stack: Stack, template: dict[str, Any], parameters: dict[str, str]) -> None:
        self.stack, self.template, self.parameters = stack, template, parameters
        self.conditions = {}
        self.records = {}  # logical ID -> Record, of the resources that exist
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

    def condition(self, name: str) -> bool:
        if name not in self.conditions:
            declared = (self.template.get("Conditions") or {}).get(name)
            if declared is None:
                raise invalid(f"Template error: unresolved condition dependency {name}")
            self.conditions[name] = self.truth(declared)
        return self.conditions[name]

    def truth(self, value: Any) -> bool:
        value = self.resolve(value)
        return value if isinstance(value, bool) else text_of(value) == "true"

    def wanted(self, declared: dict[str, Any]) -> bool:
        return "Condition" not in declared or self.condition(declared["Condition"])

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [one for one in map(self.resolve, value) if one is not NoValue]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            function = FUNCTIONS.get(name)
            if function and not (name == "Condition" and isinstance(argument, dict)):
                return function(self, argument)
            if name.startswith("Fn::"):
                raise invalid(f"Template error: this local AWS does not support {name}")
        resolved = {name: self.resolve(one) for name, one in value.items()}
        return {name: one for name, one in resolved.items() if one is not NoValue}

    def ref(self, name: str) -> Any:
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        return self.record(name).physical_resource_id

    def record(self, name: str) -> Record:
        if name not in self.records:
            raise invalid(f"Template error: resource {name} does not exist or its Condition is false")
        return self.records[name]

    def attribute(self, argument: Any) -> Any:
        name, attribute = argument.split(".", 1) if isinstance(argument, str) else map(self.resolve, argument)
        attributes = self.record(name).attributes
        if attribute not in attributes:
            described = f"{name} ({self.record(name).cf_resource_type})"
            raise invalid(f"Template error: resource {described} does not support attribute type {attribute} in Fn::GetAtt")
        return attributes[attribute]

    def substitute(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})

        def value(match: re.Match[str]) -> str:
            name = match.group(1).strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in own:
                return text_of(self.resolve(own[name]))
            return text_of(self.attribute(name) if "." in name and name not in self.pseudo else self.ref(name))

        return re.sub(r"\$\{([^}]*)\}", value, text)

    def choose(self, argument: Any) -> Any:
        name, if_true, if_false = argument
        return self.resolve(if_true if self.condition(name) else if_false)

    def check_rules(self) -> None:
        for name, rule in (self.template.get("Rules") or {}).items():
            if "RuleCondition" in rule and not self.truth(rule["RuleCondition"]):
                continue
            for assertion in rule.get("Assertions", []):
                if not self.truth(assertion["Assert"]):
                    raise invalid(f"Rule {name}: {assertion.get('AssertDescription', 'an assertion failed')}")


FUNCTIONS = {
    "Ref": Scope.ref,
    "Condition": Scope.condition,
    "Fn::GetAtt": Scope.attribute,
    "Fn::Sub": Scope.substitute,
    "Fn::If": Scope.choose,
    "Fn::Join": lambda scope, a: a[0].join(map(text_of, scope.resolve(a[1]))),
    "Fn::Split": lambda scope, a: scope.resolve(a[1]).split(a[0]),
    "Fn::Select": lambda scope, a: scope.resolve(a[1])[int(scope.resolve(a[0]))],
    "Fn::Equals": lambda scope, a: text_of(scope.resolve(a[0])) == text_of(scope.resolve(a[1])),
    "Fn::Contains": lambda scope, a: text_of(scope.resolve(a[1])) in map(text_of, scope.resolve(a[0])),
    "Fn::Not": lambda scope, a: not scope.truth(a[0]),
    "Fn::And": lambda scope, a: all([scope.truth(one) for one in a]),
    "Fn::Or": lambda scope, a: any([scope.truth(one) for one in a]),
}


def references(value: Any) -> set[str]:
    """Returns the names of the parameters and resources that a value refers to."""
    if isinstance(value, list):
        return set().union(*map(references, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    names = set()
    for key, argument in value.items():
        if key == "Ref" and isinstance(argument, str):  # otherwise something is called Ref: an output, for example
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


def check_references(template: dict[str, Any]) -> None:
    known = set(template["Resources"]) | set(template.get("Parameters") or {})
    for section in ("Resources", "Outputs"):
        names = {n for n in references(template.get(section) or {}) if not n.startswith("AWS::")}
        for resource in template["Resources"].values():
            depends_on = resource.get("DependsOn", [])
            names |= {depends_on} if isinstance(depends_on, str) else set(depends_on)
        if names - known:
            unresolved = ", ".join(sorted(names - known))
            raise invalid(f"Template format error: Unresolved resource dependencies [{unresolved}] in the {section} block of the template")


def dependency_order(scope: Scope) -> list[str]:
    """Returns the logical IDs of the resources to create, each after those it refers to."""
    resources = scope.template["Resources"]
    order, path = [], []

    def visit(name: str) -> None:
        if name in order or name not in resources or not scope.wanted(resources[name]):
            return
        if name in path:
            raise invalid(f"Template error: Circular dependency between resources: [{', '.join(path)}]")
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
