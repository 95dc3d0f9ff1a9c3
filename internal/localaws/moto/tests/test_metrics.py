"""CloudWatch: statistics of metrics."""

from __future__ import annotations

import datetime
import unittest

from tests.service import client, refusal

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def after(seconds: int) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


class TestMetrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.cloudwatch = client("cloudwatch")
        dimension = [{"Name": "d", "Value": "1"}]
        for namespace, dimensions, at, value in (
            ("N", dimension, 30, 1.0), ("N", dimension, 70, 2.0), ("N", dimension, 110, 4.0),
            ("N", [], 30, 100.0), ("N", dimension + [{"Name": "e", "Value": "2"}], 30, 1000.0), ("Other", dimension, 30, 10000.0),
        ):
            datum = {"MetricName": "M", "Dimensions": dimensions, "Timestamp": after(at), "Value": value}
            cls.cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])
        cls.metric = {"Namespace": "N", "MetricName": "M", "Dimensions": dimension}

    def test_statistics_are_of_one_metric_and_of_whole_periods(self) -> None:
        got = self.cloudwatch.get_metric_statistics(StartTime=START, EndTime=after(120), Period=60, Statistics=["Sum", "Average"], **self.metric)
        self.assertEqual([(p["Timestamp"], p["Sum"], p["Average"]) for p in got["Datapoints"]], [(START, 1.0, 1.0), (after(60), 6.0, 3.0)])

    def test_data(self) -> None:
        queries = [{"Id": stat.lower(), "MetricStat": {"Metric": self.metric, "Period": 60, "Stat": stat}} for stat in ("Sum", "Maximum", "SampleCount")]
        got = self.cloudwatch.get_metric_data(StartTime=START, EndTime=after(110), MetricDataQueries=queries)["MetricDataResults"]
        self.assertEqual([one["Values"] for one in got], [[2.0, 1.0], [2.0, 1.0], [1.0, 1.0]])

    def test_what_is_not_computed_is_refused(self) -> None:
        times = {"StartTime": START, "EndTime": after(60)}
        for call, parameters in (
            (self.cloudwatch.get_metric_statistics, dict(times, Period=60, ExtendedStatistics=["p99"], **self.metric)),
            (self.cloudwatch.get_metric_statistics, dict(times, Period=61, Statistics=["Sum"], **self.metric)),
            (self.cloudwatch.get_metric_statistics, dict(times, Period=60, **self.metric)),
            (self.cloudwatch.get_metric_statistics, dict(times, EndTime=START, Period=60, Statistics=["Sum"], **self.metric)),
            (self.cloudwatch.get_metric_data, dict(times, MetricDataQueries=[{"Id": "e", "Expression": "1+1"}])),
        ):
            with self.subTest(parameters):
                self.assertRegex(refusal(call, **parameters)[0], "^(Invalid|Validation)")
