"""EventBridge Scheduler: when schedules are due, what they start, and their resource type in CloudFormation. The clock is the test's."""

from __future__ import annotations

import json
import time
import unittest
from typing import Any
from unittest import mock

import clients
from scheduler import expressions, schedules
from tests.service import client, port, refusal

START = 1_800_000_000.0
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
MACHINE = {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}


class TestExpressions(unittest.TestCase):
    def due(self, expression: str, after: float, end: float | None = None, timezone: str = "UTC") -> float | None:
        return expressions.due(expression, timezone, START, after, end)

    def test_rate(self) -> None:
        for expression, period in (("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 hour)", 3600), ("rate(2 days)", 172800)):
            with self.subTest(expression):
                self.assertEqual(self.due(expression, START), START)
                self.assertEqual(self.due(expression, START + 1), START + period)
                self.assertEqual(self.due(expression, START + period), START + period)
                self.assertEqual(self.due(expression, START + 10.5 * period), START + 11 * period)
                self.assertEqual(self.due(expression, START - 7 * period), START)
        self.assertEqual(self.due("rate(1 hour)", START + 1, START + 3600), START + 3600)
        self.assertIsNone(self.due("rate(1 hour)", START + 1, START + 3599))

    def test_at(self) -> None:
        self.assertEqual(self.due("at(2030-01-01T00:00:00)", START), 1893456000)
        self.assertEqual(self.due("at(2030-01-01T00:00:00)", START, timezone="Europe/Zurich"), 1893456000 - 3600)
        self.assertIsNone(self.due("at(2030-01-01T00:00:00)", 1893456001))

    def test_cron_is_never_due(self) -> None:
        expressions.check("cron(0 8 * * ? *)", "UTC")
        self.assertIsNone(self.due("cron(0 8 * * ? *)", START))

    def test_others_are_refused(self) -> None:
        for expression in ("", "rate(0 minutes)", "rate(1.5 hours)", "rate(1 second)", "rate(1 week)", "rate(1)", "cron(0 8 * *)", "at(tomorrow)",
                           "at(2030-02-31T00:00:00)", "every hour"):
            with self.subTest(expression), self.assertRaisesRegex(expressions.Invalid, "Invalid Schedule Expression "):
                expressions.check(expression, "UTC")
        with self.assertRaisesRegex(expressions.Invalid, "Timezone Mars"):
            expressions.check("rate(1 hour)", "Mars")


class ScheduleTest(unittest.TestCase):
    """A state machine and a role, a clock that stands still, and no thread: fire() does what it would do."""

    def setUp(self) -> None:
        self.now = START
        self.scheduler, self.states = client("scheduler"), client("stepfunctions")
        for patch in (mock.patch.object(schedules, "clock", lambda: self.now), mock.patch.object(schedules, "running", True),
                      mock.patch.object(clients, "ENDPOINT_URL", f"http://127.0.0.1:{port()}")):
            patch.start()
            self.addCleanup(patch.stop)
        iam = client("iam")
        self.role = iam.create_role(RoleName="starter", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        self.addCleanup(iam.delete_role, RoleName="starter")
        self.machine = self.states.create_state_machine(name="scheduled", definition=json.dumps(MACHINE), roleArn=self.role)["stateMachineArn"]
        self.addCleanup(self.states.delete_state_machine, stateMachineArn=self.machine)

    def given(self, **changes: Any) -> dict[str, Any]:
        target = {"Arn": self.machine, "RoleArn": self.role, "Input": '{"start_seq":0,"end_seq":0}', **changes.pop("target", {})}
        return {"Name": "s", "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target, **changes}

    def create(self, **changes: Any) -> str:
        self.addCleanup(refusal, self.scheduler.delete_schedule, Name="s")
        return self.scheduler.create_schedule(**self.given(**changes))["ScheduleArn"]

    def fire(self) -> None:
        for one in schedules.take_due():
            schedules.call_target(*one)

    def inputs(self) -> list[Any]:
        runs = self.states.list_executions(stateMachineArn=self.machine)["executions"]
        return [json.loads(self.states.describe_execution(executionArn=run["executionArn"])["input"]) for run in reversed(runs)]


class TestFiring(ScheduleTest):
    def test_at_once_and_after_each_period(self) -> None:
        self.create()
        self.fire()
        self.fire()
        self.assertEqual(self.inputs(), [{"start_seq": 0, "end_seq": 0}])
        for seconds, runs in ((3599, 1), (3600, 2), (3601, 2), (7200, 3), (36000, 4)):  # what a sleeping laptop misses is left out
            self.now = START + seconds
            self.fire()
            self.assertEqual(len(self.inputs()), runs, seconds)

    def test_at_once_although_the_clock_goes_on(self) -> None:
        ticks = iter(range(1000))
        with mock.patch.object(schedules, "clock", lambda: START + 0.001 * next(ticks)):
            self.create()
            self.fire()
        self.assertEqual(len(self.inputs()), 1)

    def test_start_end_and_state(self) -> None:
        self.create(StartDate=START + 600, EndDate=START + 5000)
        for seconds, runs in ((599, 0), (600, 1), (4200, 2), (7800, 2)):
            self.now = START + seconds
            self.fire()
            self.assertEqual(len(self.inputs()), runs, seconds)

    def test_disabled_and_enabled(self) -> None:
        self.create(State="DISABLED")
        self.fire()
        self.assertEqual(self.inputs(), [])
        self.scheduler.update_schedule(**self.given())
        self.fire()
        self.assertEqual(len(self.inputs()), 1)

    def test_an_update_of_the_input_keeps_the_time(self) -> None:
        self.create()
        self.fire()
        self.now += 1800
        self.scheduler.update_schedule(**self.given(target={"Input": '{"b":2}'}))
        self.fire()
        self.now += 1800
        self.fire()
        self.assertEqual(self.inputs(), [{"start_seq": 0, "end_seq": 0}, {"b": 2}])

    def test_a_new_rate_starts_anew(self) -> None:
        self.create()
        self.fire()
        self.now += 60
        self.scheduler.update_schedule(**self.given(ScheduleExpression="rate(1 minute)"))
        self.fire()
        self.now += 60
        self.fire()
        self.assertEqual(len(self.inputs()), 3)

    def test_nothing_after_the_deletion(self) -> None:
        self.create()
        self.scheduler.delete_schedule(Name="s")
        self.now += 7200
        self.fire()
        self.assertEqual(self.inputs(), [])

    def test_at_deletes_itself(self) -> None:
        self.now = 1893455999.0
        self.create(ScheduleExpression="at(2030-01-01T00:00:00)", ActionAfterCompletion="DELETE")
        self.fire()
        self.assertEqual(self.inputs(), [])
        self.now += 1
        self.fire()
        self.assertEqual(len(self.inputs()), 1)
        self.assertEqual(refusal(self.scheduler.get_schedule, Name="s"), ("ResourceNotFoundException", "Schedule s does not exist."))

    def test_context_attributes(self) -> None:
        arn = self.create(target={"Input": '{"arn":"<aws.scheduler.schedule-arn>","time":"<aws.scheduler.scheduled-time>",'
                                           '"attempt":"<aws.scheduler.attempt-number>"}'})
        self.fire()
        self.assertEqual(self.inputs(), [{"arn": arn, "time": "2027-01-15T08:00:00Z", "attempt": "1"}])

    def test_the_role_calls(self) -> None:
        self.create()
        with mock.patch.object(clients, "client_for", side_effect=clients.client_for) as client_for:
            self.fire()
        self.assertEqual(client_for.call_args.args, ("stepfunctions", "eu-central-2", clients.ENDPOINT_URL, "starter"))

    def test_the_thread_fires(self) -> None:
        with mock.patch.object(schedules, "running", None):
            self.create()
            deadline = time.monotonic() + 30
            while len(self.inputs()) < 1 and time.monotonic() < deadline:
                time.sleep(0.02)
            self.now += 3600
            with schedules.changed:
                schedules.changed.notify_all()  # the thread looks at the clock
            while len(self.inputs()) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            thread, schedules.running = schedules.running, None
            with schedules.changed:
                schedules.changed.notify_all()
            thread.join(30)
            self.assertFalse(thread.is_alive())
        self.assertEqual(len(self.inputs()), 2)

    def test_what_cannot_be_started(self) -> None:
        queue = client("sqs").create_queue(QueueName="lost")["QueueUrl"]
        self.addCleanup(client("sqs").delete_queue, QueueUrl=queue)
        self.create(target={"Arn": self.machine + "-gone", "DeadLetterConfig": {"Arn": "arn:aws:sqs:eu-central-2:123456789012:lost"}})
        with self.assertLogs("carnation.moto", "WARNING") as logs:
            self.fire()
        self.assertIn("schedule s could not start " + self.machine + "-gone", logs.output[0])
        message = client("sqs").receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"][0]
        self.assertEqual(message["Body"], '{"start_seq":0,"end_seq":0}')
        self.assertEqual(message["MessageAttributes"]["ERROR_CODE"]["StringValue"], "StateMachineDoesNotExist")

    def test_attempts(self) -> None:
        self.create(target={"RetryPolicy": {"MaximumRetryAttempts": 2}})
        with mock.patch.object(clients, "ENDPOINT_URL", "http://127.0.0.1:1"), mock.patch.object(schedules.time, "sleep") as sleep, \
                self.assertLogs("carnation.moto", "WARNING"):
            self.fire()
        self.assertEqual([call.args for call in sleep.call_args_list], [(1,), (2,)])


class TestAPI(ScheduleTest):
    def test_get_and_list(self) -> None:
        arn = self.create(Description="d")
        got = self.scheduler.get_schedule(Name="s")
        for name, value in (("Arn", arn), ("GroupName", "default"), ("State", "ENABLED"), ("ScheduleExpression", "rate(1 hour)"),
                            ("ScheduleExpressionTimezone", "UTC"), ("Description", "d"), ("ActionAfterCompletion", "NONE")):
            self.assertEqual(got[name], value, name)
        self.assertNotIn("KmsKeyArn", got)
        self.assertEqual(got["Target"], {"Arn": self.machine, "RoleArn": self.role, "Input": '{"start_seq":0,"end_seq":0}',
                                         "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}})
        for filters, found in (({}, 1), ({"NamePrefix": "s"}, 1), ({"NamePrefix": "t"}, 0), ({"State": "DISABLED"}, 0), ({"GroupName": "default"}, 1)):
            listed = self.scheduler.list_schedules(**filters)["Schedules"]
            self.assertEqual([(one["Name"], one["Target"]) for one in listed], [("s", {"Arn": self.machine})] * found, filters)

    def test_update_replaces_everything(self) -> None:
        self.create(Description="d", ActionAfterCompletion="DELETE")
        self.scheduler.update_schedule(**self.given(ScheduleExpression="rate(2 hours)"))
        got = self.scheduler.get_schedule(Name="s")
        self.assertEqual((got["ScheduleExpression"], got["ActionAfterCompletion"], got.get("Description")), ("rate(2 hours)", "NONE", None))

    def test_same_name(self) -> None:
        arn = self.create(ClientToken="t")
        self.assertEqual(self.scheduler.create_schedule(**self.given(ClientToken="t"))["ScheduleArn"], arn)
        self.assertEqual(refusal(self.scheduler.create_schedule, **self.given()), ("ConflictException", "Schedule s already exists."))

    def test_refusals(self) -> None:
        for changes, message in (
            ({"ScheduleExpression": "rate(0 hours)"}, "Invalid Schedule Expression rate(0 hours)."),
            ({"ScheduleExpressionTimezone": "Mars"}, "Invalid Schedule Expression Timezone Mars."),
            ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "FlexibleTimeWindow must"),
            ({"State": "ON"}, "State ON must be ENABLED or DISABLED."),
            ({"Name": "a b"}, "Name a b must satisfy"),
            ({"StartDate": START + 9, "EndDate": START}, "The EndDate must come after the StartDate."),
            ({"target": {"Input": "no JSON"}}, "The Input of a Step Functions target must be well-formed JSON."),
            ({"target": {"Arn": "arn:aws:sqs:eu-central-2:123456789012:q"}}, "Local AWS does not do the target arn:aws:sqs"),
            ({"target": {"SqsParameters": {"MessageGroupId": "g"}}}, "Local AWS does not do SqsParameters of a target."),
            ({"target": {"RetryPolicy": {"MaximumRetryAttempts": 186}}}, "MaximumRetryAttempts must be from 0 to 185."),
            ({"target": {"RoleArn": self.role + "s"}}, "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."),
        ):
            with self.subTest(message):
                code, text = refusal(self.scheduler.create_schedule, **self.given(**changes))
                self.assertEqual((code, text[:len(message)]), ("ValidationException", message))
        self.assertEqual(refusal(self.scheduler.create_schedule, **self.given(GroupName="none"))[0], "ResourceNotFoundException")
        self.assertEqual(refusal(self.scheduler.update_schedule, **self.given())[0], "ResourceNotFoundException")
        self.assertEqual(refusal(self.scheduler.delete_schedule, Name="s")[0], "ResourceNotFoundException")


class TestStack(ScheduleTest):
    def template(self, **changes: Any) -> str:
        properties = self.given(**changes)
        if properties["Name"] is None:
            properties.pop("Name")
        return json.dumps({"Resources": {"S": {"Type": "AWS::Scheduler::Schedule", "Properties": properties}},
                           "Outputs": {"Ref": {"Value": {"Ref": "S"}}, "Arn": {"Value": {"Fn::GetAtt": ["S", "Arn"]}}}})

    def outputs(self) -> dict[str, str]:
        stack = client("cloudformation").describe_stacks(StackName="scheduled")["Stacks"][0]
        self.assertIn(stack["StackStatus"], ("CREATE_COMPLETE", "UPDATE_COMPLETE"))
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def test_life(self) -> None:
        cfn = client("cloudformation")
        self.addCleanup(cfn.delete_stack, StackName="scheduled")
        cfn.create_stack(StackName="scheduled", TemplateBody=self.template(Description="d", Name=None))
        created = self.outputs()
        name = created["Ref"]
        self.assertTrue(name.startswith("scheduled-S-"))
        self.assertEqual(created["Arn"], self.scheduler.get_schedule(Name=name)["Arn"])
        self.fire()
        self.assertEqual(len(self.inputs()), 1)

        cfn.update_stack(StackName="scheduled", TemplateBody=self.template(Name=None, ScheduleExpression="rate(2 hours)"))
        self.assertEqual(self.outputs(), created)
        got = self.scheduler.get_schedule(Name=name)
        self.assertEqual((got["ScheduleExpression"], got.get("Description")), ("rate(2 hours)", None))

        cfn.update_stack(StackName="scheduled", TemplateBody=self.template(Name="other"))
        self.assertEqual(self.outputs()["Ref"], "other")
        self.assertEqual(refusal(self.scheduler.get_schedule, Name=name)[0], "ResourceNotFoundException")

        self.scheduler.create_schedule_group(Name="g")
        self.addCleanup(self.scheduler.delete_schedule_group, Name="g")
        cfn.update_stack(StackName="scheduled", TemplateBody=self.template(Name="other", GroupName="g"))
        self.assertTrue(self.outputs()["Arn"].endswith(":schedule/g/other"))
        self.assertEqual(refusal(self.scheduler.get_schedule, Name="other")[0], "ResourceNotFoundException")

        runs = len(self.inputs())
        cfn.delete_stack(StackName="scheduled")
        self.assertEqual(self.scheduler.list_schedules()["Schedules"], [])
        self.now += 36000
        self.fire()
        self.assertEqual(len(self.inputs()), runs)

    def test_a_group(self) -> None:
        def template(name: str, tag: str) -> str:
            group = {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": name, "Tags": [{"Key": tag, "Value": "1"}]}}
            schedule = {"Type": "AWS::Scheduler::Schedule", "Properties": self.given(GroupName={"Ref": "G"})}
            return json.dumps({"Resources": {"S": schedule, "G": group}, "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["G", "Arn"]}}}})

        def tags(arn: str) -> list[dict[str, str]]:
            return self.scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"]

        cfn = client("cloudformation")
        self.addCleanup(cfn.delete_stack, StackName="scheduled")
        cfn.create_stack(StackName="scheduled", TemplateBody=template("first", "a"))
        arn = self.outputs()["Arn"]
        self.assertTrue(arn.endswith(":schedule-group/first"))
        self.assertEqual(tags(arn), [{"Key": "a", "Value": "1"}])
        cfn.update_stack(StackName="scheduled", TemplateBody=template("first", "b"))
        self.assertEqual(self.outputs()["Arn"], arn)
        self.assertEqual(tags(arn), [{"Key": "b", "Value": "1"}])
        cfn.update_stack(StackName="scheduled", TemplateBody=template("second", "b"))
        self.assertEqual(self.scheduler.get_schedule(GroupName="second", Name="s")["GroupName"], "second")
        self.assertEqual(refusal(self.scheduler.get_schedule_group, Name="first")[0], "ResourceNotFoundException")
        cfn.delete_stack(StackName="scheduled")
        self.assertEqual([one["Name"] for one in self.scheduler.list_schedule_groups()["ScheduleGroups"]], ["default"])
