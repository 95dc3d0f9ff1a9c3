"""Step Functions: the names of errors that Retry and Catch match."""

from __future__ import annotations

import unittest

import botocore.exceptions
from stepfunctions import task_errors


class TestNames(unittest.TestCase):
    def test_function_error(self) -> None:
        for payload, want in (
            ('{"errorType": "QuotaError"}', "QuotaError"), ("{", "Lambda.Unknown"), ("[]", "Lambda.Unknown"),
            ('{"errorType": 7}', "Lambda.Unknown"), ('{"errorType": ""}', "Lambda.Unknown"),
        ):
            with self.subTest(payload):
                self.assertEqual(task_errors.function_error(payload), (want, payload))

    def test_service_error(self) -> None:
        for code, want in (
            ("TooManyRequestsException", "Lambda.TooManyRequestsException"), ("Throttling", "Lambda.ThrottlingException"),
            ("com.amazonaws.Busy", "Lambda.BusyException"), ("500", "Lambda.AWSLambdaException"), ("Unknown", "Lambda.AWSLambdaException"), ("", "Lambda.AWSLambdaException"),
        ):
            with self.subTest(code):
                answer = botocore.exceptions.ClientError({"Error": {"Code": code}}, "Invoke")
                self.assertEqual(task_errors.service_error(answer, "Lambda", "AWSLambdaException"), want)
