"""Every function has type hints for its parameters and its result."""

from __future__ import annotations

import ast
import pathlib
import unittest

PROGRAM = pathlib.Path(__file__).parent.parent


class TestAnnotations(unittest.TestCase):
    def test_every_function_is_annotated(self) -> None:
        for path in PROGRAM.rglob("*.py"):
            tree = ast.parse(path.read_text())
            methods = {id(one) for cls in ast.walk(tree) if isinstance(cls, ast.ClassDef) for one in cls.body}
            for function in ast.walk(tree):
                if isinstance(function, ast.FunctionDef):
                    with self.subTest(path=path.name, function=function.name):
                        self.assertEqual(missing(function, id(function) in methods), [])


def missing(function: ast.FunctionDef, method: bool) -> list[str]:
    """The parameters without a type, and "return"."""
    given = function.args
    parameters = given.posonlyargs + given.args + given.kwonlyargs + [one for one in (given.vararg, given.kwarg) if one]
    names = [one.arg for one in parameters if not one.annotation and not (method and one.arg in ("self", "cls"))]
    return names if function.returns else names + ["return"]
