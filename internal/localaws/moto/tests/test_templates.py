"""CloudFormation templates: their functions, parameters, rules, and the order of their resources."""

from __future__ import annotations

import types
import unittest
from typing import Any

from cloudformation import templates
from moto.cloudformation.exceptions import ValidationError

STACK = types.SimpleNamespace(region_name="eu-central-2", partition="aws", stack_id="arn:stack", name="s", notification_arns=[])


def scope(template: dict[str, Any] | None = None, **parameters: str) -> templates.Scope:
    made = templates.Scope(STACK, template or {}, parameters)
    made.records["Queue"] = types.SimpleNamespace(
        physical_resource_id="queue-url", attributes={"Arn": "queue-arn", "Outputs.A.B": "x"}, cf_resource_type="AWS::SQS::Queue")
    return made


def parsed(text: str) -> dict[str, Any]:
    return templates.parse_template("Resources:\n  A: {Type: T}\n" + text)


class TestParse(unittest.TestCase):
    def test_short_forms(self) -> None:
        found = parsed("Metadata: [!Ref A, !GetAtt A.B.C, !Condition C, !Sub '${A}', !Join ['-', [!Ref B]]]")["Metadata"]
        self.assertEqual(found, [
            {"Ref": "A"}, {"Fn::GetAtt": ["A", "B.C"]}, {"Condition": "C"}, {"Fn::Sub": "${A}"}, {"Fn::Join": ["-", [{"Ref": "B"}]]}])

    def test_dates_stay_text(self) -> None:
        self.assertEqual(parsed("AWSTemplateFormatVersion: 2010-09-09")["AWSTemplateFormatVersion"], "2010-09-09")

    def test_what_is_not_a_template_is_refused(self) -> None:
        for text in ("{", "[]", "Resources: {}", "Resources: {A: {}}"):
            with self.subTest(text), self.assertRaisesRegex(ValidationError, "Template format error"):
                templates.parse_template(text)


class TestFunctions(unittest.TestCase):
    def test_values(self) -> None:
        template = {"Conditions": {"Yes": {"Fn::Equals": ["a", "a"]}, "No": {"Fn::Not": [{"Condition": "Yes"}]}}}
        for given, want in (
            ({"Ref": "P"}, "value"),
            ({"Ref": "Queue"}, "queue-url"),
            ({"Ref": "AWS::Region"}, "eu-central-2"),
            ({"Fn::GetAtt": ["Queue", "Arn"]}, "queue-arn"),
            ({"Fn::GetAtt": "Queue.Outputs.A.B"}, "x"),
            ({"Fn::Sub": "${P}-${Queue.Arn}-${AWS::Partition}-${!Literal}"}, "value-queue-arn-aws-${Literal}"),
            ({"Fn::Sub": ["${P}${Q}", {"Q": {"Ref": "P"}}]}, "valuevalue"),
            ({"Fn::Join": [",", ["a", 1, True]]}, "a,1,true"),
            ({"Fn::Split": ["-", "a-b"]}, ["a", "b"]),
            ({"Fn::Select": ["1", ["a", "b"]]}, "b"),
            ({"Fn::If": ["Yes", 1, 2]}, 1),
            ({"Fn::If": ["No", 1, 2]}, 2),
            ({"Fn::And": [{"Condition": "Yes"}, {"Condition": "No"}]}, False),
            ({"Fn::Or": [{"Condition": "Yes"}, {"Condition": "No"}]}, True),
            ({"Fn::Contains": [["a", "b"], "b"]}, True),
            ({"A": {"Ref": "AWS::NoValue"}, "B": [1, {"Ref": "AWS::NoValue"}]}, {"B": [1]}),
        ):
            with self.subTest(given):
                self.assertEqual(scope(template, P="value").resolve(given), want)

    def test_what_is_unknown_is_refused(self) -> None:
        for given in ({"Ref": "Nothing"}, {"Fn::GetAtt": ["Queue", "Nothing"]}, {"Fn::Cidr": []}, {"Fn::If": ["Nothing", 1, 2]}):
            with self.subTest(given), self.assertRaises(ValidationError):
                scope().resolve(given)

    def test_rules(self) -> None:
        rule = {"RuleCondition": {"Fn::Equals": [{"Ref": "P"}, "x"]}, "Assertions": [{"Assert": {"Fn::Equals": ["1", "2"]}, "AssertDescription": "why"}]}
        scope({"Rules": {"R": rule}}, P="y").check_rules()
        with self.assertRaisesRegex(ValidationError, "Rule R: why"):
            scope({"Rules": {"R": rule}}, P="x").check_rules()


class TestParameters(unittest.TestCase):
    def check(self, declared: dict[str, Any], value: str) -> None:
        templates.resolve_parameters({"Parameters": {"P": declared}}, {"P": value})

    def test_constraints(self) -> None:
        for declared, good, bad in (
            ({"Type": "Number", "MinValue": 1, "MaxValue": 40}, ("1", "40"), ("0", "41", "x")),
            ({"Type": "String", "MinLength": 2, "MaxLength": 3}, ("ab", "abc"), ("a", "abcd")),
            ({"AllowedValues": [1, True, "x"]}, ("1", "true", "x"), ("True", "")),
            ({"AllowedPattern": "[a-z]+"}, ("ab",), ("ab1", "")),
        ):
            for value in good:
                self.check(declared, value)
            for value in bad:
                with self.subTest(declared=declared, value=value), self.assertRaises(ValidationError):
                    self.check(declared, value)

    def test_own_description_of_a_constraint(self) -> None:
        with self.assertRaisesRegex(ValidationError, "Parameter P failed to satisfy constraint: letters"):
            self.check({"AllowedPattern": "[a-z]+", "ConstraintDescription": "letters"}, "1")

    def test_defaults_and_names(self) -> None:
        template = {"Parameters": {"A": {"Default": True}, "B": {}}}
        self.assertEqual(templates.resolve_parameters(template, {"B": "b"}), {"A": "true", "B": "b"})
        for given in ({}, {"B": "b", "C": "c"}):
            with self.subTest(given), self.assertRaises(ValidationError):
                templates.resolve_parameters(template, given)


class TestReferences(unittest.TestCase):
    def test_names(self) -> None:
        value = [{"Ref": "A"}, {"Fn::GetAtt": ["B", "x"]}, {"Fn::Sub": ["${C.x} ${!D} ${Own}", {"Own": {"Ref": "E"}}]}, {"k": {"Fn::GetAtt": "F.x"}}]
        self.assertEqual(templates.references(value), {"A", "B", "C", "E", "F"})

    def test_unresolved(self) -> None:
        with self.assertRaisesRegex(ValidationError, r"\[Gone\] in the Resources block"):
            templates.check_references({"Resources": {"A": {"Type": "T", "DependsOn": "Gone"}}})

    def test_order(self) -> None:
        resources = {"A": {"Properties": {"Ref": "C"}, "DependsOn": ["B"]}, "B": {"Properties": {"Ref": "C"}}, "C": {}, "D": {"Condition": "No"}}
        template = {"Resources": resources, "Conditions": {"No": {"Fn::Equals": ["a", "b"]}}}
        self.assertEqual(templates.dependency_order(scope(template)), ["C", "B", "A"])

    def test_circle(self) -> None:
        template = {"Resources": {"A": {"Properties": {"Ref": "B"}}, "B": {"Properties": {"Ref": "A"}}}}
        with self.assertRaisesRegex(ValidationError, "Circular dependency"):
            templates.dependency_order(scope(template))
