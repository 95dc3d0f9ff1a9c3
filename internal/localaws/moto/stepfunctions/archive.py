"""What is left of the children of a Map Run that have succeeded: their inputs and histories, compressed, in a file that goes with this
process. moto keeps the input of an execution twice, as text and as objects, and a history has it several times: 3 MB for each
child with 256 KB, which are gigabytes for a million records.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
import zlib
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser.backend import execution as engine_execution

if TYPE_CHECKING:
    from moto.stepfunctions.parser.backend.execution import Execution

SHARED = 200  # characters of a text that is kept once, however often a history has it


class Archive:
    def __init__(self) -> None:
        self.file, self.end, self.lock = None, 0, threading.Lock()

    def add(self, value: Any) -> tuple[int, int]:
        """Returns the place of a value."""
        data = zlib.compress(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), 1)
        with self.lock:
            self.file = self.file or tempfile.TemporaryFile()  # not earlier: copies of this process would share it
            start, self.end = self.end, self.end + len(data)
        view = memoryview(data)
        while view:
            written = os.pwrite(self.file.fileno(), view, start + len(data) - len(view))
            view = view[written:]
        return start, len(data)

    def get(self, place: tuple[int, int]) -> Any:
        start, length = place
        data = b""
        while len(data) < length:
            data += os.pread(self.file.fileno(), length - len(data), start + len(data))
        return pickle.loads(zlib.decompress(data))


ARCHIVE = Archive()


def with_shared_texts(value: Any, texts: dict[str, str]) -> Any:
    """Returns a value in which equal texts are one object, which pickle writes once."""
    if isinstance(value, dict):
        return {name: with_shared_texts(one, texts) for name, one in value.items()}
    return texts.setdefault(value, value) if type(value) is str and len(value) >= SHARED else value


def keep(execution: Execution, events: list[dict[str, Any]]) -> None:
    """Moves the input and the history of an execution that has succeeded into the archive. It must not be redriven any more."""
    texts: dict[str, str] = {}
    given = texts.setdefault(execution.execution_input, execution.execution_input)
    execution.archived = ARCHIVE.add((given, [with_shared_texts(event, texts) for event in events]))
    execution.execution_input = execution.input_data = None


def history(execution: Execution) -> list[dict[str, Any]]:
    """Returns the events of an execution whose environment is gone."""
    place = getattr(execution, "archived", None)
    return ARCHIVE.get(place)[1] if place else []


def fill_archive() -> None:
    def given(self: Execution) -> str | None:
        place = getattr(self, "archived", None)
        return ARCHIVE.get(place)[0] if place else self.__dict__.get("given")

    engine_execution.Execution.execution_input = property(given, lambda self, text: self.__dict__.__setitem__("given", text))
