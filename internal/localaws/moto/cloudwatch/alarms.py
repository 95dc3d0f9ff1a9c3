"""CloudWatch alarms: states, history, and the messages that SNS gets. moto starts an alarm as OK, forgets its state when the alarm
is put again, keeps a history that nobody can read, and takes no action. AWS starts an alarm with INSUFFICIENT_DATA, keeps its
state, and publishes to the topics of the new state when the state changes. Local AWS evaluates no alarm: SetAlarmState sets it.
"""

from __future__ import annotations

import collections
import datetime
import json
from typing import TYPE_CHECKING, Any

from moto.cloudwatch import models as cloudwatch_models
from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue, ResourceNotFound, ValidationError
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.sns import sns_backends

from clients import ACCOUNT_ID, SESSION

if TYPE_CHECKING:
    from moto.cloudwatch.models import Alarm, CloudWatchBackend

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
MOST_ITEMS = 100  # of one page of the history
ACTIONS = {"OK": "ok_actions", "ALARM": "alarm_actions", "INSUFFICIENT_DATA": "insufficient_data_actions"}
HISTORIES = collections.defaultdict(list)  # region -> items, oldest first; they outlive their alarms


def now() -> datetime.datetime:
    return datetime.datetime.now(tz=datetime.timezone.utc)


def written(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}+0000"


def kind_of(alarm: Alarm) -> str:
    return "CompositeAlarm" if alarm.rule else "MetricAlarm"


def refuse_ignored(request: dict[str, Any], *names: str) -> None:
    given = [name for name in names if request.get(name)]
    if given:
        raise ValidationError(f"Local AWS does not do {', '.join(given)} of this operation.")


def page(items: list[Any], request: dict[str, Any], most: int) -> tuple[list[Any], str | None]:
    """Returns a page of items, and the token of the next one."""
    if not 1 <= most <= MOST_ITEMS:
        raise InvalidParameterValue(f"MaxRecords is {most}: must be from 1 to {MOST_ITEMS}")
    token = request.get("NextToken") or "0"
    if not token.isdigit():
        raise InvalidParameterValue("Request parameter NextToken is invalid")
    first = int(token)
    return items[first: first + most], str(first + most) if first + most < len(items) else None


def record(alarm: Alarm, kind: str, summary: str, data: dict[str, Any]) -> None:
    HISTORIES[alarm.region_name].append({
        "AlarmName": alarm.name,
        "AlarmType": kind_of(alarm),
        "Timestamp": now(),
        "HistoryItemType": kind,
        "HistorySummary": summary[:255],
        "HistoryData": json.dumps(dict(version="1.0", **data), separators=(",", ":"))[:4095],
    })


def region_title(region: str) -> str:
    """Returns the name of a region as it is in a message: EU (Zurich). botocore says Europe (Zurich)."""
    for partition in SESSION._loader.load_data("endpoints")["partitions"]:
        if region in partition["regions"]:
            return partition["regions"][region]["description"].replace("Europe (", "EU (")
    return region


def dimensions(found: Any) -> list[dict[str, str]]:
    return [{"value": one.value, "name": one.name} for one in found or []]


def trigger(alarm: Alarm) -> dict[str, Any]:
    common = {
        "Period": alarm.period,
        "EvaluationPeriods": alarm.evaluation_periods,
        "DatapointsToAlarm": alarm.datapoints_to_alarm,
        "ComparisonOperator": alarm.comparison_operator,
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.treat_missing_data or "",
        "EvaluateLowSampleCountPercentile": alarm.evaluate_low_sample_count_percentile or "",
    }
    if not alarm.metric_data_queries:
        statistic = {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": alarm.extended_statistic}
        if alarm.statistic:
            statistic = {"StatisticType": "Statistic", "Statistic": alarm.statistic.upper()}
        return {"MetricName": alarm.metric_name, "Namespace": alarm.namespace, **statistic, "Unit": alarm.unit,
                "Dimensions": dimensions(alarm.dimensions), **common}
    metrics = []
    for query in alarm.metric_data_queries:
        one = {"Id": query.id, "ReturnData": query.return_data is not False}
        for name, value in (("Expression", query.expression), ("Label", query.label)):
            if value:
                one[name] = value
        if query.metric_stat:
            metric = query.metric_stat.metric
            one["MetricStat"] = {
                "Metric": {"Dimensions": dimensions(metric.dimensions), "MetricName": metric.metric_name, "Namespace": metric.namespace},
                "Period": query.metric_stat.period, "Stat": query.metric_stat.stat}
        metrics.append(one)
    return dict(common, Metrics=metrics)


def message(alarm: Alarm, old_state: str) -> dict[str, Any]:
    """Returns what AWS publishes about a change of state.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-actions.html
    """
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": ACCOUNT_ID,
        "AlarmConfigurationUpdatedTimestamp": written(alarm.configuration_updated_timestamp),
        "NewStateValue": alarm.state_value,
        "NewStateReason": alarm.state_reason,
        "StateChangeTime": written(alarm.state_updated_timestamp),
        "Region": region_title(alarm.region_name),
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": old_state,
        "OKActions": list(alarm.ok_actions),
        "AlarmActions": list(alarm.alarm_actions),
        "InsufficientDataActions": list(alarm.insufficient_data_actions),
        "Trigger": trigger(alarm),
    }


def act(alarm: Alarm, action: str, old_state: str) -> None:
    """Publishes to one topic of an alarm, and records it."""
    subject = f'{alarm.state_value}: "{alarm.name}" in {region_title(alarm.region_name)}'[:99]
    text, error = json.dumps(message(alarm, old_state), separators=(",", ":")), None
    if action.split(":")[2:3] != ["sns"]:
        error = "local AWS publishes to SNS topics only"
    else:
        try:
            sns_backends[ACCOUNT_ID][action.split(":")[3]].publish(text, action, subject=subject)
        except ServiceException as refused:
            error = refused.message
    record(alarm, "Action", f"{'Failed to execute' if error else 'Successfully executed'} action {action}", {
        "actionState": "Failed" if error else "Succeeded",
        "stateUpdateTimestamp": int(alarm.state_updated_timestamp.timestamp() * 1000),
        "notificationResource": action,
        "publishedMessage": None,
        "error": error,
    })


def state_of(alarm: Alarm) -> dict[str, Any]:
    state = {"stateValue": alarm.state_value, "stateReason": alarm.state_reason}
    if alarm.state_reason_data and alarm.state_reason_data != "{}":
        state["stateReasonData"] = json.loads(alarm.state_reason_data)
    return state


def update_state(self: Alarm, reason: str, reason_data: str | None, state_value: str) -> None:
    """Replaces Alarm.update_state."""
    old = state_of(self)
    self.state_reason, self.state_reason_data, self.state_value = reason, reason_data or "", state_value
    self.state_updated_timestamp = now()
    if old["stateValue"] == state_value:
        return  # AWS: the alarm's actions are for a change of its state
    self.state_transitioned_timestamp = self.state_updated_timestamp
    record(self, "StateUpdate", f"Alarm updated from {old['stateValue']} to {state_value}", {"oldState": old, "newState": state_of(self)})
    if self.actions_enabled:
        for action in getattr(self, ACTIONS[state_value]):
            act(self, action, old["stateValue"])


def history(region: str, wanted: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """Returns a page of the history, and the token of the next one."""
    refuse_ignored(wanted, "AlarmContributorId")
    types = wanted.get("AlarmTypes") or ["MetricAlarm"]
    start, end = wanted.get("StartDate"), wanted.get("EndDate")

    def matches(item: dict[str, Any]) -> bool:
        moment = item["Timestamp"].replace(tzinfo=None)
        return (item["AlarmType"] in types
                and wanted.get("AlarmName") in (None, item["AlarmName"])
                and wanted.get("HistoryItemType") in (None, item["HistoryItemType"])
                and (start is None or moment >= start.replace(tzinfo=None))
                and (end is None or moment <= end.replace(tzinfo=None)))

    found = [item for item in HISTORIES[region] if matches(item)]
    if wanted.get("ScanBy") != "TimestampAscending":
        found.reverse()
    return page(found, wanted, MOST_ITEMS if wanted.get("MaxRecords") is None else wanted["MaxRecords"])


def fill_alarms() -> None:
    backend, alarm = cloudwatch_models.CloudWatchBackend, cloudwatch_models.Alarm
    put, remove, set_state = backend.put_metric_alarm, backend.delete_alarms, backend.set_alarm_state

    def put_metric_alarm(self: CloudWatchBackend, *args: Any, **kwargs: Any) -> Alarm:
        old = self.alarms.get(kwargs["name"])
        made = put(self, *args, **kwargs)
        made.configuration_updated_timestamp = now()
        if old is None:
            made.state_value, made.state_reason_data = "INSUFFICIENT_DATA", ""
            made.state_updated_timestamp = made.state_transitioned_timestamp = now()
        else:
            for name in ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp", "state_transitioned_timestamp"):
                setattr(made, name, getattr(old, name))
        verb = "updated" if old else "created"
        record(made, "ConfigurationUpdate", f'Alarm "{made.name}" {verb}', {"type": "Update" if old else "Create"})
        return made

    def delete_alarms(self: CloudWatchBackend, alarm_names: list[str]) -> None:
        for name in alarm_names:
            if name in self.alarms:
                record(self.alarms[name], "ConfigurationUpdate", f'Alarm "{name}" deleted', {"type": "Delete"})
        remove(self, alarm_names)

    def set_alarm_state(self: CloudWatchBackend, alarm_name: str, reason: str, reason_data: str | None, state_value: str) -> None:
        if not reason:
            raise ValidationError("StateReason is required")
        if alarm_name not in self.alarms:
            raise ResourceNotFound("There is no alarm with this name")
        set_state(self, alarm_name, reason, reason_data, state_value)

    def enable_actions(self: CloudWatchBackend, alarm_names: list[str], enabled: bool) -> None:
        for name in alarm_names:
            if name in self.alarms and self.alarms[name].actions_enabled is not enabled:
                self.alarms[name].actions_enabled = enabled
                record(self.alarms[name], "ConfigurationUpdate", f'Alarm "{name}" updated', {"type": "Update"})

    def describe_alarms(self: CloudWatchResponse) -> ActionResult:
        """moto takes one of the conditions and ignores the others."""
        wanted = dict(self._get_params())
        refuse_ignored(wanted, "ChildrenOfAlarmName", "ParentsOfAlarmName")
        if wanted.get("AlarmNames") and wanted.get("AlarmNamePrefix"):
            raise InvalidParameterCombination("AlarmNamePrefix and AlarmNames cannot both be given")
        types = wanted.get("AlarmTypes") or ["MetricAlarm"]

        def matches(alarm: Alarm) -> bool:
            return (kind_of(alarm) in types
                    and (not wanted.get("AlarmNames") or alarm.name in wanted["AlarmNames"])
                    and alarm.name.startswith(wanted.get("AlarmNamePrefix") or "")
                    and wanted.get("StateValue") in (None, alarm.state_value)
                    and (not wanted.get("ActionPrefix") or any(one.startswith(wanted["ActionPrefix"]) for one in alarm.alarm_actions)))

        found = sorted(filter(matches, self.cloudwatch_backend.alarms.values()), key=lambda alarm: alarm.name)
        found, token = page(found, wanted, 50 if wanted.get("MaxRecords") is None else wanted["MaxRecords"])
        return ActionResult({"MetricAlarms": [one for one in found if not one.rule], "CompositeAlarms": [one for one in found if one.rule],
                             "NextToken": token})

    def describe_alarm_history(self: CloudWatchResponse) -> ActionResult:
        items, token = history(self.region, dict(self._get_params()))
        return ActionResult({"AlarmHistoryItems": items, "NextToken": token})

    def enable_alarm_actions(self: CloudWatchResponse) -> EmptyResult:
        self.cloudwatch_backend.enable_actions(self._get_param("AlarmNames", []), True)
        return EmptyResult()

    def disable_alarm_actions(self: CloudWatchResponse) -> EmptyResult:
        self.cloudwatch_backend.enable_actions(self._get_param("AlarmNames", []), False)
        return EmptyResult()

    alarm.update_state = update_state
    for method in (put_metric_alarm, delete_alarms, set_alarm_state, enable_actions):
        setattr(backend, method.__name__, method)
    for answer in (describe_alarms, describe_alarm_history, enable_alarm_actions, disable_alarm_actions):
        setattr(CloudWatchResponse, answer.__name__, answer)
