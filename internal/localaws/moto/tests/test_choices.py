"""Timestamps in Choice and Wait states."""

from __future__ import annotations

import unittest

from stepfunctions import choices


class TestMoment(unittest.TestCase):
    def test_the_same_moment(self) -> None:
        want = choices.moment("2026-03-14T01:59:00Z")
        self.assertIsNotNone(want)
        for text in ("2026-03-14T01:59:00.000Z", "2026-03-14T02:59:00+01:00", "2026-03-13T20:29:00-05:30", "2026-03-14T01:59:00.0000000001+00:00"):
            with self.subTest(text):
                self.assertEqual(choices.moment(text), want)
        self.assertLess(want, choices.moment("2026-03-14T01:59:00.5Z"))

    def test_what_is_none(self) -> None:
        for text in ("", "2026-03-14", "2026-03-14T01:59:00", "2026-03-14t01:59:00z", "2026-03-14 01:59:00Z", "2026-02-30T00:00:00Z", "2026-03-14T25:00:00Z"):
            with self.subTest(text):
                self.assertIsNone(choices.moment(text))
