"""CloudFormation: converting the values of a template to the types of the services' APIs."""

from __future__ import annotations

import unittest
from typing import Any

import botocore.model
from cloudformation import resource_handler

SHAPES = {
    "Text": {"type": "string"}, "Whole": {"type": "integer"}, "Part": {"type": "double"}, "Flag": {"type": "boolean"},
    "Texts": {"type": "list", "member": {"shape": "Text"}},
    "Numbers": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Whole"}},
    "All": {"type": "structure", "members": {name: {"shape": name} for name in ("Text", "Whole", "Part", "Flag", "Texts", "Numbers")}},
}


def coerce(**values: Any) -> Any:
    return resource_handler.coerce(botocore.model.ShapeResolver(SHAPES).get_shape_by_name("All"), values)


class TestCoerce(unittest.TestCase):
    def test_types(self) -> None:
        self.assertEqual(
            coerce(Text=7, Whole="7", Part="0.5", Flag="true", Texts=[1, "a"], Numbers={"a": "1"}),
            {"Text": "7", "Whole": 7, "Part": 0.5, "Flag": True, "Texts": ["1", "a"], "Numbers": {"a": 1}})
        self.assertEqual(coerce(Text={"Version": 1}), {"Text": '{"Version": 1}'})

    def test_what_does_not_fit_is_refused(self) -> None:
        for values in ({"Whole": "x"}, {"Flag": "yes"}, {"Part": None}, {"Other": 1}):
            with self.subTest(values), self.assertRaisesRegex(resource_handler.Failure, "Properties validation failed"):
                coerce(**values)


class TestNames(unittest.TestCase):
    def test_first_lower(self) -> None:
        self.assertEqual(resource_handler.first_lower({"Destinations": [{"LogGroupArn": "A"}]}), {"destinations": [{"logGroupArn": "A"}]})

    def test_tag_map(self) -> None:
        self.assertEqual(resource_handler.tag_map([{"Key": "a", "Value": True}]), {"a": "true"})
        self.assertEqual(resource_handler.tag_map(None), {})
