"""Choice and Wait states. moto takes a variable that does not exist for one that is not equal, so that the run goes on with
the default; ends with States.Runtime if nothing matches; knows timestamps in whole seconds of UTC only; and takes the time
of the local zone for UTC when it waits.
https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html
"""

from __future__ import annotations

import datetime
import math
import re
from typing import TYPE_CHECKING

from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from moto.stepfunctions.parser.asl.component.state.choice import state_choice
from moto.stepfunctions.parser.asl.component.state.choice.comparison import comparison_variable
from moto.stepfunctions.parser.asl.component.state.choice.comparison.comparison_operator_type import ComparisonOperatorType
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations import is_operator
from moto.stepfunctions.parser.asl.component.state.choice.comparison.variable import NoSuchVariable
from moto.stepfunctions.parser.asl.component.state.wait.wait_function import timestamp

from stepfunctions.definition import TIMESTAMP
from stepfunctions.history import now
from stepfunctions.payload_templates import failed

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment


def moment(text: str) -> datetime.datetime | None:
    """Returns the moment that a timestamp of RFC 3339 with T and Z names, or None."""
    parts = re.fullmatch(TIMESTAMP, text)
    if parts is None:
        return None
    second, fraction, zone = parts.groups()
    try:
        return datetime.datetime.fromisoformat(f"{second}.{(fraction or '')[:6]:0<6}{'+00:00' if zone == 'Z' else zone}")
    except ValueError:
        return None


def fill_choices() -> None:
    choose = state_choice.StateChoice._eval_state

    def eval_choice(self: state_choice.StateChoice, env: Environment) -> None:
        if self.default_state is not None:
            choose(self, env)
            return
        for rule in self.choices_decl.rules:
            rule.eval(env)
            if env.stack.pop() is True:
                env.stack.append(rule.next_stmt.name)
                return
        raise failed(env, "States.NoChoiceMatched",
                     "Failed to transition out of the state. The state does not point to a next state.")

    state_choice.StateChoice._eval_state = eval_choice

    def compare(self: comparison_variable.ComparisonVariable, env: Environment) -> None:
        self.variable.eval(env)
        if isinstance(env.stack[-1], NoSuchVariable) and self.comparison_function.operator_type != ComparisonOperatorType.IsPresent:
            path = self.variable.string_sampler.literal_value
            raise failed(env, "States.Runtime", f"Invalid path '{path}': The choice state's condition path references an invalid value.")
        self.comparison_function.eval(env)

    comparison_variable.ComparisonVariable._eval_body = compare
    is_operator.IsTimestamp.string_to_timestamp = staticmethod(moment)

    def seconds_until(self: timestamp.Timestamp, env: Environment) -> int:
        self.string.eval(env=env)
        text = env.stack.pop()
        until = moment(text) if isinstance(text, str) else None
        if until is None:
            raise FailureEventException(self._create_failure_event(env, text))
        return max(0, math.ceil((until - now()).total_seconds()))

    timestamp.Timestamp._from_timestamp_string = staticmethod(moment)
    timestamp.Timestamp._get_wait_seconds = seconds_until
