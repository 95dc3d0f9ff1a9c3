"""The ways in which the other files change moto: they leave out modules, replace names, and replace methods.
"""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any


def leave_out(module_name: str, **names: Any) -> None:
    """Replaces a module by one that has only these names."""
    sys.modules[module_name] = types.ModuleType(module_name)
    vars(sys.modules[module_name]).update(names)


# This happens at import, before moto's services are imported. Nothing here uses these modules. They import EC2 and thirty
# other services, which takes 1.3 s at each start.
leave_out("moto.cloudformation.parsing", Export=None, OutputMap=None, ResourceMap=None)
leave_out("moto.batch.utils", JobStatus=types.SimpleNamespace(SUCCEEDED="SUCCEEDED", FAILED="FAILED"))


def replace_in_engine(name: str, value: Any) -> None:
    """Sets a name in every module of the engine that has it. `from x import name` makes many copies."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("moto.stepfunctions.parser") and getattr(module, name, None) is not None:
            setattr(module, name, value)


def take_over(target: type, source: type) -> None:
    """Replaces methods of one of moto's classes by those of one of ours."""
    for name, method in vars(source).items():
        if inspect.isfunction(method):
            setattr(target, name, method)
