"""JSONPath and States.Format."""

from __future__ import annotations

import types
import unittest

from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError
from stepfunctions import jsonpath

DATA = {"a": [{"b": 1}, {"b": 2}], "none": [], "null": None}


class TestExtract(unittest.TestCase):
    def test_a_path_to_one_place_gives_its_value_and_any_other_a_list(self) -> None:
        for path, want in (
            ("$", DATA), ("$.a[0].b", 1), ("$.null", None), ("$.none", []),
            ("$.a[*].b", [1, 2]), ("$.a[0:1].b", [1]), ("$.none[*]", []), ("$.none[*].b", []), ("$..b", [1, 2]), ("$.a[?(@.b > 1)].b", [2]),
        ):
            with self.subTest(path):
                self.assertEqual(jsonpath.extract_json(path, DATA), want)

    def test_the_place_before_a_list_must_exist(self) -> None:
        for path in ("$.gone", "$.a[2].b", "$.gone[*]", "$.gone[*].b"):
            with self.subTest(path), self.assertRaises(NoSuchJsonPathError):
                jsonpath.extract_json(path, DATA)


class TestFormat(unittest.TestCase):
    def format(self, *arguments: object) -> str:
        env = types.SimpleNamespace(stack=[])
        function = types.SimpleNamespace(argument_list=types.SimpleNamespace(eval=lambda env: env.stack.append(arguments)), _to_str_repr=str)
        jsonpath.eval_format(function, env)
        return env.stack.pop()

    def test_values_and_escapes(self) -> None:
        self.assertEqual(self.format("{} of {} failed", 7, 20), "7 of 20 failed")
        self.assertEqual(self.format(r"\\{\\} is {}", "x"), "{} is x")
        self.assertEqual(self.format("{}", "{}"), "{}")

    def test_as_many_values_as_places(self) -> None:
        for arguments in (("{}",), ("{}", 1, 2)):
            with self.subTest(arguments), self.assertRaises(ValueError):
                self.format(*arguments)
