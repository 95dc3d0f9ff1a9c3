"""CloudWatch's statistics of metrics. moto ignores a metric's namespace, or adds up metrics with other dimensions, starts periods at
the first value, and answers an expression with anything. A metric of AWS is its namespace, name and all dimensions. Local AWS has
only the metrics that PutMetricData brings; it evaluates no expression and no percentile.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from moto.cloudwatch import models as cloudwatch_models
from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue, ValidationError
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

if TYPE_CHECKING:
    from moto.cloudwatch.models import CloudWatchBackend, MetricDatumBase

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
UTC = datetime.timezone.utc


def seconds(moment: datetime.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def check_period(period: int) -> None:
    if period not in (1, 5, 10, 20, 30) and (period <= 0 or period % 60):
        raise InvalidParameterValue("The parameter Period must be 1, 5, 10, 20, 30, or a multiple of 60.")


def check_statistic(name: str) -> None:
    if name not in STATISTICS:
        raise InvalidParameterValue(f"Local AWS computes no statistic {name}: must be one of {', '.join(STATISTICS)}")


def periods(
    values: list[MetricDatumBase], metric: dict[str, Any], start: datetime.datetime, end: datetime.datetime, period: int, unit: str | None,
) -> dict[float, dict[str, float]]:
    """Returns the statistics of each period that has values, by its start."""
    if seconds(start) >= seconds(end):
        raise ValidationError("The parameter StartTime must be less than the parameter EndTime.")
    check_period(period)
    wanted = {(one["Name"], one["Value"]) for one in metric.get("Dimensions", [])}
    found = {}
    for value in values:
        if (value.namespace, value.name) != (metric["Namespace"], metric["MetricName"]) or unit and unit != value.unit:
            continue
        if {(one.name, one.value) for one in value.dimensions} != wanted or not seconds(start) <= seconds(value.timestamp) < seconds(end):
            continue
        if isinstance(value, cloudwatch_models.MetricAggregatedDatum):
            count, total, least, most = value.sample_count, value.sum, value.min, value.max
        else:
            count, total, least, most = 1.0, value.value, value.value, value.value
        at = seconds(value.timestamp) // period * period
        sofar = found.setdefault(at, {"SampleCount": 0.0, "Sum": 0.0, "Minimum": least, "Maximum": most, "Unit": value.unit or "None"})
        sofar["SampleCount"] += count
        sofar["Sum"] += total
        sofar["Minimum"], sofar["Maximum"] = min(sofar["Minimum"], least), max(sofar["Maximum"], most)
    for one in found.values():
        one["Average"] = one["Sum"] / one["SampleCount"] if one["SampleCount"] else 0.0
    return dict(sorted(found.items()))


def time_of(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, tz=UTC)


def fill_metrics() -> None:
    def get_metric_data(
        self: CloudWatchBackend, queries: list[dict[str, Any]], start_time: datetime.datetime, end_time: datetime.datetime,
        scan_by: str = "TimestampDescending",
    ) -> list[dict[str, Any]]:
        results = []
        for query in queries:
            if "${" in query.get("Label", ""):
                raise ValidationError(f"Local AWS does not do dynamic labels: query {query['Id']}")
            if "MetricStat" not in query:
                raise ValidationError(f"Local AWS does not evaluate expressions: query {query['Id']} must have a MetricStat")
            one = query["MetricStat"]
            check_statistic(one["Stat"])
            found = periods(self.metric_data, one["Metric"], start_time, end_time, int(one["Period"]), one.get("Unit"))
            if query.get("ReturnData") is False:
                continue
            points = [(time_of(at), found[at][one["Stat"]]) for at in found]
            if scan_by == "TimestampDescending":
                points.reverse()
            results.append({"id": query["Id"], "label": query.get("Label") or one["Metric"]["MetricName"], "status_code": "Complete",
                            "timestamps": [point[0] for point in points], "values": [point[1] for point in points]})
        return results

    def get_metric_statistics(self: CloudWatchResponse) -> ActionResult:
        wanted = self._get_params()
        statistics, extended = wanted.get("Statistics", []), wanted.get("ExtendedStatistics", [])
        if bool(statistics) is bool(extended):
            raise InvalidParameterCombination("Must specify either Statistics or ExtendedStatistics, and not both")
        for name in statistics + extended:
            check_statistic(name)
        found = periods(self.cloudwatch_backend.metric_data, wanted, wanted["StartTime"], wanted["EndTime"], int(wanted["Period"]),
                        wanted.get("Unit"))
        points = [{"Timestamp": time_of(at), "Unit": found[at]["Unit"], **{name: found[at][name] for name in statistics}} for at in found]
        return ActionResult({"Label": wanted["MetricName"], "Datapoints": points})

    cloudwatch_models.CloudWatchBackend.get_metric_data = get_metric_data
    CloudWatchResponse.get_metric_statistics = get_metric_statistics
