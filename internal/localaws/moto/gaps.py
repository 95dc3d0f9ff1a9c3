"""Fills all gaps of moto, in the order that they need. Import clients and patching first: they change things that moto's services
read when they are imported.
"""

from __future__ import annotations

import locks
from awslambda import functions, versions
from cloudformation import api
from cloudwatch import alarms, metrics
from dynamodb import scan, update_item, values
from logs import events
from s3 import bucket_policies, checksums, large_objects, object_versions, uploads
from scheduler import schedules
from sns import subscriptions
from sqs import message_move_tasks, messages, queues
from stepfunctions import choices, engine, executions, history, integrations, jsonata, jsonpath, map_runs, redrive, state_errors, state_machines, task_errors
from moto.core.config import default_user_config


def fill_gaps() -> None:
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    api.fill_api()
    versions.fill_versions()
    functions.fill_functions()
    values.fill_values()
    scan.fill_scan()
    update_item.fill_update_item()
    alarms.fill_alarms()
    metrics.fill_metrics()
    events.fill_events()
    subscriptions.fill_subscriptions()
    locks.fill_locks()  # after those above, because it locks their new methods
    message_move_tasks.fill_message_move_tasks()  # before the queues, which lock its methods
    messages.fill_messages()
    queues.fill_queues()
    bucket_policies.fill_bucket_policies()
    object_versions.fill_object_versions()
    uploads.fill_uploads()
    checksums.fill_checksums()
    large_objects.fill_large_objects()
    schedules.fill_schedules()
    engine.fill_engine()
    jsonpath.fill_jsonpath()
    jsonata.fill_jsonata()
    task_errors.fill_task_errors()
    state_errors.fill_state_errors()
    choices.fill_choices()
    integrations.fill_integrations()
    history.fill_history()
    executions.fill_executions()
    redrive.fill_redrive()
    map_runs.fill_map_runs()
    state_machines.fill_state_machines()
