"""The ways in which moto is changed: modules left out, names replaced, methods taken over."""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any


def leave_out(module_name: str, **names: Any) -> None:
    """Keeps a module from being imported; whoever imports it gets these names."""
    sys.modules[module_name] = types.ModuleType(module_name)
    vars(sys.modules[module_name]).update(names)


# At import, as it has to be before moto's services are. They are not used here, and importing them takes 1.3 s at each
# start, as they import EC2 and thirty other services.
leave_out("moto.cloudformation.parsing", Export=None, OutputMap=None, ResourceMap=None)
leave_out("moto.batch.utils", JobStatus=types.SimpleNamespace(SUCCEEDED="SUCCEEDED", FAILED="FAILED"))


def replace_in_engine(name: str, value: Any) -> None:
    """Sets a name in every module of the engine that has it: `from x import name` makes many copies of it."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("moto.stepfunctions.parser") and getattr(module, name, None) is not None:
            setattr(module, name, value)


def take_over(target: type, source: type) -> None:
    """Gives a class of moto's the methods of one of ours."""
    for name, method in vars(source).items():
        if inspect.isfunction(method):
            setattr(target, name, method)
