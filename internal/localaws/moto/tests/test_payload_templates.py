"""The payload templates of a Distributed Map."""

from __future__ import annotations

import unittest

from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError
from stepfunctions import jsonpath, payload_templates


class TestTemplates(unittest.TestCase):
    def test_fill(self) -> None:
        template = {"c": [1, {"d.$": "$.a[0]"}], "i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "all.$": "$", "x.$": "$.b[*].y"}
        given = {"a": [7], "b": [{"y": 1}, {"y": 2}]}
        got = payload_templates.template_filler(template)(None, given, {"Map": {"Item": {"Index": 3, "Value": None}}})
        self.assertEqual(got, {"c": [1, {"d": 7}], "i": 3, "v": None, "all": given, "x": [1, 2]})

    def test_a_short_path_gives_what_a_jsonpath_gives(self) -> None:
        for path, data in (("$.a", {"a": 1}), ("$.a.b", {"a": {"b": [1]}}), ("$.a", {"a": None}), ("$.a", {}), ("$.a.b", {"a": 1}), ("$.a", [{"a": 1}]),
                           ("$.a", "a")):
            with self.subTest(path, data=data):
                try:
                    want = jsonpath.extract_json(path, data)
                except NoSuchJsonPathError:
                    self.assertRaises(NoSuchJsonPathError, payload_templates.value_at, path, data)
                else:
                    self.assertEqual(payload_templates.value_at(path, data), want)
