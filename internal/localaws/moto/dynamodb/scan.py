"""DynamoDB's Scan. With Select=COUNT, AWS answers with the counts only. moto ignores Select and answers with every item. It
compares every value of an item with DynamoDB's model to write it, which takes half a millisecond for an item. The values already
have the form of the answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moto.dynamodb.responses import DynamoHandler

if TYPE_CHECKING:
    from moto.core.responses import ActionResult


def fill_scan() -> None:
    scan = DynamoHandler.scan

    def scan_or_count(self: DynamoHandler) -> ActionResult | str:
        answer = scan(self)
        if self.body.get("Select") == "COUNT":
            del answer.result["Items"]
        try:
            return json.dumps(answer.result)
        except TypeError:
            return answer  # it has binary values

    DynamoHandler.scan = scan_or_count
