"""JSONata: the part of the language that local AWS has, and what it refuses."""

from __future__ import annotations

import concurrent.futures
import json
import unittest
from typing import Any

from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from stepfunctions.jsonata import JSONataError, evaluate

from tests import service

DATA = {"a": 7, "s": "x y", "one": [5], "many": [{"n": 1}, {"n": 2}, {"m": 3}], "none": [], "null": None, "deep": {"er": [[1, 2], [3]]}}


def value(expression: str) -> Any:
    return evaluate(expression, {"$states": {"input": DATA}, "$x": 2})


class TestJSONata(unittest.TestCase):
    def test_values(self) -> None:
        for expression, want in (
            ("$states.input.a", 7), ("$states.input.one", [5]), ("$states.input.one[0]", 5), ("$states.input.many[-1].m", 3),
            ("$states.input.many.n", [1, 2]), ("$states.input.many.m", 3), ("$states.input.none", []), ("$states.input.null", None),
            ("$count($states.input.many.n)", 2), ("$count($states.input.missing)", 0), ("$count($states.input.a)", 1),
            ("$type($states.input.one)", "array"), ("$type($states.input.many.m)", "number"), ("$type($states.input.null)", "null"),
            ("1 + 2 * 3 - 4 / 2", 5), ("(1 + 2) * 3", 9), ("2 - 3 - 4", -5), ("-$x + 1", -1), ("'a' & 1 & $states.input.missing & \"b\"", "a1b"),
            ("1 = 1.0", True), ("1 = true", False), ("$states.input.missing = 1", False), ("$states.input.missing != 1", False),
            ("$states.input.one = [5]", True), ("1 < 2 and 'b' > 'a'", True), ("false or $x >= 2", True), ("$states.input.missing >= 0 and true", False),
            ("$x = 2 ? 'yes' : $error('no')", "yes"), ("false ? 1 : true ? 2 : 3", 2), ("($y := $x + 1; $y * 2)", 6),
            ("[$x, $states.input.one, [1, 2], $states.input.missing]", [2, 5, [1, 2]]), ("{'k': {'n': $x}, 'no': $states.input.missing}", {"k": {"n": 2}}),
            ("$contains('ab_1', /^[a-z_0-9]{1,4}$/)", True), ("$contains('ab\n', /^ab$/)", False), ("$contains('AB', /b/i)", True), ("$contains('a/b', '/')", True),
            ("$contains('a/b', /\\/b/)", True), ("$min([3, $x])", 2), ("$max([3, $x])", 3), ("$sum($states.input.many.n)", 3), ("$floor(-1.5)", -2), ("$ceil(1001 / 1000)", 2),
            ("$exists($states.input.none)", True), ("$not(0)", True), ("$length('abc')", 3), ("$base64encode($string({'a': [1.0, 'ü']}))", "eyJhIjpbMSwiw7wiXX0="),
            # As JavaScript writes numbers. All digits of the double 1e40 are 41.
            ("$string([2e20, 1.2345678901234567e20, -3.0, 1e40, 7.5e40])", "[200000000000000000000,123456789012345670000,-3,1e+40,7.5e+40]"),
            ("9007199254740991 - 9007199254740990", 1), ("1.5 + 1.5", 3),
        ):
            got = value(expression)
            self.assertEqual((got, type(got)), (want, type(want)), expression)

    def test_errors(self) -> None:
        for expression, want in (
            ("$states.input.missing", "returned nothing"), ("'1' + 1", "takes number"), ("true >= 0", "takes number or string"), ("1 < 'a'", "takes number"),
            ("$floor('1')", "takes number"), ("$sum(['1'])", "takes number"), ("$contains(1, 'a')", "takes string"), ("$error('told')", "told"), ("1 / 0", "by 0"),
            ("/a/", "unsupported result type"), ("$min($states.input.none)", "returned nothing"), ("$length()", "$length"),
        ):
            with self.assertRaisesRegex(JSONataError, want.replace("$", r"\$"), msg=expression):
                value(expression)

    def test_the_rest_is_refused(self) -> None:
        for expression in ("$map([1], $string)", "$states.input.many[n = 1]", "$states.input.*", "a.b", "[1..3]", "function($i){$i}", "1 +", "(1", "1 2", "'a", "$uppercase('a')", "$x ~> $string"):
            with self.assertRaises(JSONataError, msg=expression):
                value(expression)

    def test_definitions_with_both_languages_are_parsed_at_once(self) -> None:
        service.port()  # fills the gaps

        def parse(number: int) -> None:
            states = {f"S{n}": {"Type": "Pass", **({"QueryLanguage": "JSONata", "Output": "{% 1 %}"} if n % 2 else {"Parameters": {}}), "Next": f"S{n + 1}"} for n in range(20)}
            AmazonStateLanguageParser.parse(json.dumps({"Comment": str(number), "StartAt": "S0", "States": states | {"S20": {"Type": "Succeed"}}}))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(parse, range(16)))
