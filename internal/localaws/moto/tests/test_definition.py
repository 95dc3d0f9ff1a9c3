"""Which definitions are refused, with which reason, and what moto's grammar gets of the others."""

from __future__ import annotations

import enum
import json
import pathlib
import unittest
from typing import Any

from antlr4 import InputStream, Token
from moto.stepfunctions.parser.asl.antlr.runtime.ASLLexer import ASLLexer
from stepfunctions import definition, engine

PASS = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
READER = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "b", "Key.$": "$.k"}, "ReaderConfig": {"InputType": "JSONL"}}
WRITER = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"}}


def machine(**state: Any) -> dict[str, Any]:
    return {"StartAt": "A", "States": {"A": {"End": True, **state}}}


def task(**fields: Any) -> dict[str, Any]:
    return machine(**{"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f"}, **fields})


def each(mode: str = "DISTRIBUTED", processor: Any = PASS, kind: str = "STANDARD", **fields: Any) -> dict[str, Any]:
    config = {"Mode": mode, "ExecutionType": kind} if mode == "DISTRIBUTED" else {"Mode": mode}
    return machine(Type="Map", ItemProcessor={"ProcessorConfig": config, **processor}, **fields)


def choice(**rule: Any) -> dict[str, Any]:
    return {"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [{"Next": "A", **rule}]}}}


def reader(**fields: Any) -> dict[str, Any]:
    return each(ItemReader={**READER, **fields})


def config(**fields: Any) -> dict[str, Any]:
    return reader(ReaderConfig=fields)


WRONG = (  # AWS refuses them too
    ("Field is not supported at /States/A/Retry", machine(Type="Pass", Retry=[])),
    ("Field is not supported at /States/A/Foo", machine(Type="Pass", Foo=1)),
    ("Field is not supported at /Foo", dict(PASS, Foo=1)),
    ("'Payloadd' is not supported", task(Parameters={"FunctionName": "f", "Payloadd": 1})),
    ("'FunctionName' is required", task(Parameters={})),
    ("'Keyy' is not supported", task(Resource="arn:aws:states:::aws-sdk:s3:getObject", Parameters={"Bucket": "b", "Keyy": 1})),
    ("is not recognized", task(Resource="arn:aws:states:::aws-sdk:s3:getObjekt")),
    ("is not recognized", task(Resource="arn:aws:states:::lambda:invoke.sync")),
    ("is not recognized", task(Resource="f")),
    ("TimeoutSeconds is 0: must be an integer from 1", task(TimeoutSeconds=0)),
    ("Only one of TimeoutSeconds", task(TimeoutSeconds=1, TimeoutSecondsPath="$.t")),
    ("must have one of Next and End", machine(Type="Pass", End=False)),
    ("MISSING_TRANSITION_TARGET", {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}),
    ("MISSING_TRANSITION_TARGET", {"StartAt": "B", "States": PASS["States"]}),
    ("MISSING_TRANSITION_TARGET", task(Catch=[{"ErrorEquals": ["E"], "Next": "B"}])),
    ("DUPLICATE_STATE_NAME", {"StartAt": "P", "States": {"P": {"Type": "Map", "Iterator": PASS, "End": True}}}),
    ("States.ALL must be alone", task(Retry=[{"ErrorEquals": ["States.ALL", "E"]}])),
    ("States.Nope is not a name", task(Retry=[{"ErrorEquals": ["States.Nope"]}])),
    ("BackoffRate is 0.5", task(Retry=[{"ErrorEquals": ["E"], "BackoffRate": 0.5}])),
    ("HeartbeatSeconds must be smaller", task(Resource="arn:aws:states:::lambda:invoke.waitForTaskToken", HeartbeatSeconds=5, TimeoutSeconds=5)),
    ("States.Foo is not an intrinsic function", machine(Type="Pass", Parameters={"a": [{"x.$": "States.Foo($.a)"}]})),
    ("must be a valid JSONPath", machine(Type="Pass", Parameters={"x.$": "a"})),
    ("not supported in a Map whose Mode is INLINE", each("INLINE", ToleratedFailureCount=1)),
    ("ToleratedFailurePercentage is 101", each(ToleratedFailurePercentage=101)),
    ("ItemBatcher must have", each(ItemBatcher={"BatchInput": {}})),
    ("MaxInputBytesPerBatch is 262145", each(ItemBatcher={"MaxInputBytesPerBatch": 262145})),
    ("ResultWriter must have", each(ResultWriter={})),
    ("ResultWriter must have", each(ResultWriter={"Resource": WRITER["Resource"]})),
    ("Transformation must be", each(ResultWriter={"WriterConfig": {"Transformation": "ZIP"}})),
    ("'Encoding' is not supported", reader(Parameters={"Bucket": "b", "Key": "k", "Encoding": 1})),
    ("CSVHeaderLocation must be", config(InputType="CSV")),
    ("CSVHeaders must be there", config(InputType="CSV", CSVHeaderLocation="GIVEN")),
    ("only if InputType is CSV", config(InputType="JSON", CSVDelimiter="TAB")),
    ("NumericEquals is \"1\": must be a Numeric value", choice(Variable="$.x", NumericEquals="1")),
    ("TimestampLessThan is", choice(Variable="$.x", TimestampLessThan="yesterday")),
    ("is not a reference path", machine(Type="Pass", ResultPath="$.a[*]")),
    ("is not a reference path", task(TimeoutSecondsPath="States.MathAdd(1, 2)")),
    ("is not a reference path", each("INLINE", ItemsPath="$..a")),
    ("must have one operator", choice(Variable="$.x")),
    ("must be a valid JSONPath", machine(Type="Pass", Parameters={"x.$": "States.Format('{}', )"})),
    ("Express state machine does not support", each(kind="EXPRESS", processor={"StartAt": "T", "States": {"T": {
        "Type": "Task", "End": True, "Resource": "arn:aws:states:::states:startExecution.sync", "Parameters": {"StateMachineArn": "a"}}}})),
)
NOT_RUN = (  # AWS runs them
    ("JSONata", dict(PASS, QueryLanguage="JSONata")),
    ("JSONata", machine(Type="Wait", QueryLanguage="JSONata", Seconds="{% 1 %}")),
    ("JSONata", choice(Condition="{% true %}")),
    ("JSONata", task(Arguments={})),
    ("JSONata", task(Output={"a": 1})),
    ("variables", task(Assign={"a": 1})),
    ("variables", task(InputPath="$a.b")),
    ("variables", machine(Type="Pass", Parameters={"x.$": "States.Format('$a {}', $a)"})),
    ("null in an intrinsic function", machine(Type="Pass", Parameters={"x.$": "States.Array(1, null)"})),
    ("StringEqualsPath", choice(Variable="$.x", StringEqualsPath="$$.Execution.Name")),
    ("another role", task(Credentials={"RoleArn": "r"})),
    ("activities", task(Resource="arn:aws:states:eu-central-2:123456789012:activity:a")),
    ("athena:startQueryExecution", task(Resource="arn:aws:states:::athena:startQueryExecution.sync")),
    ("aws-sdk:ec2:runInstances", task(Resource="arn:aws:states:::aws-sdk:ec2:runInstances")),
    ("HeartbeatSeconds", task(HeartbeatSeconds=1)),
    ("InputType is PARQUET", config(InputType="PARQUET")),
    ("ItemsPointer", config(InputType="JSON", ItemsPointer="/a")),
    ("listObjectsV2", reader(Resource="arn:aws:states:::s3:listObjectsV2")),
    ("a Distributed Map inside an Inline Map", {"StartAt": "M", "States": {"M": {"Type": "Map", "Iterator": each(), "End": True}}}),
    ("OutputType JSONL", each(ResultWriter={"WriterConfig": {"OutputType": "JSONL"}})),
)
RIGHT = (
    PASS,
    task(Resource="arn:aws:lambda:eu-central-2:123456789012:function:f:7", Parameters={"any": {"field.$": "$.x"}}),
    task(Parameters={"FunctionName.$": "$.f", "InvocationType": "Event", "Payload": {"Comment": "it is data"}}),
    machine(Type="Pass", Parameters={"x.$": "States.Format('$a {}', $.a)"}, Comment="c"),
    machine(Type="Pass", Result=1, ResultPath=None),
    machine(Type="Pass", InputPath="$.a[*]", ResultPath="$.a['x y:*'][0].b"),
    choice(Not={"And": [{"Variable": "$.x", "IsPresent": True}, {"Variable": "$$.Execution.Name", "StringMatches": "a*"}]}),
    each(ItemReader=READER, ItemSelector={"i.$": "$$.Map.Item.Index"}, ItemBatcher={"MaxItemsPerBatch": 2, "BatchInput": {"a.$": "$.x"}},
         ResultWriter=WRITER, ToleratedFailurePercentage=60.5, ToleratedFailureCountPath="$.n", Label="L", MaxConcurrency=3),
    config(InputType="CSV", CSVHeaderLocation="GIVEN", CSVHeaders=["a"], CSVDelimiter="TAB", MaxItemsPath="$.n"),
)


class TestDefinition(unittest.TestCase):
    def refused(self, program: dict[str, Any]) -> str:
        with self.assertRaises(definition.InvalidDefinition) as refused:
            definition.check_definition(json.dumps(program))
        return refused.exception.message

    def test_wrong(self) -> None:
        for why, program in WRONG:
            with self.subTest(why):
                self.assertIn(why, self.refused(program))

    def test_not_run(self) -> None:
        for what, program in NOT_RUN:
            with self.subTest(what):
                self.assertRegex(self.refused(program), f"local AWS does not run .*{what}")

    def test_right(self) -> None:
        for program in RIGHT:
            with self.subTest(program=program):
                definition.check_definition(json.dumps(program))

    def test_not_json(self) -> None:
        with self.assertRaisesRegex(definition.InvalidDefinition, "INVALID_JSON_DESCRIPTION"):
            definition.check_definition("{")

    def test_the_state_machines_of_this_repository(self) -> None:
        folder = pathlib.Path(__file__).parents[4] / "state-machine"
        for file in sorted(folder.glob("*.asl.json")):
            with self.subTest(file.name):
                text = file.read_text()
                for name, value in (("Partition", "aws"), ("ShardExecutionType", "EXPRESS")):
                    text = text.replace(f"${{{name}}}", value)
                definition.check_definition(text)

    def test_what_the_grammar_gets(self) -> None:
        state = definition.for_grammar(RIGHT[7])["States"]["A"]
        self.assertEqual(sorted(state), ["End", "ItemProcessor", "MaxConcurrency", "Type"])
        self.assertEqual(state["ItemProcessor"]["ProcessorConfig"]["ExecutionType"], "STANDARD")
        kept = definition.for_grammar(RIGHT[2])["States"]["A"]["Parameters"]["Payload"]
        self.assertEqual(kept, {"Comment": "it is data"})

    def test_tokens_are_those_of_the_lexer(self) -> None:
        folder = pathlib.Path(__file__).parents[4] / "state-machine"
        texts = [json.dumps(definition.for_grammar(json.loads(file.read_text()))) for file in sorted(folder.glob("*.asl.json"))]
        texts.append(json.dumps({"Type": '"\\', "$.a": ["$", "$$.x", "{% $states.input %}", "States.Format('{}', 1)", "ü\n", ""], "Comment": [-1, 1.5e+7, True, False, None]}))
        for text in texts:
            tokens, lexer = engine.Tokens(InputStream(text)).tokens, ASLLexer(InputStream(text))
            for token in tokens:
                want = lexer.nextToken()
                self.assertEqual((token.type, token.text, token.start, token.stop), (want.type, want.text, want.start, want.stop))
            self.assertEqual(lexer.nextToken().type, Token.EOF)

    def test_definitions_that_differ_in_names_share_a_tree(self) -> None:
        def parts(value: Any) -> Any:
            """What a program consists of, down to its texts."""
            if isinstance(value, dict):
                return {parts(name): parts(one) for name, one in value.items()}
            if isinstance(value, (list, tuple)):
                return [parts(one) for one in value]
            return (type(value).__name__, str(parts(vars(value)))) if hasattr(value, "__dict__") and not isinstance(value, (type, enum.Enum)) else value

        texts = [json.dumps(task(Parameters={"FunctionName": name, "Payload.$": f"$.{name}"}, Comment=name)) for name in ("f", "another")]
        alone = []
        for text in texts:
            engine.TREES.clear()
            alone.append(parts(engine.parse_fast(text)))
        engine.TREES.clear()
        together = [engine.parse_fast(text) for text in texts]
        self.assertEqual(len(engine.TREES), 1)
        self.assertEqual([parts(program) for program in together], alone)
        self.assertIn("another", str(alone[1]))
        self.assertNotIn("another", str(alone[0]))

    def test_find_state(self) -> None:
        inner = {"Type": "Parallel", "Branches": [PASS, {"StartAt": "Q", "States": {"Q": {"Type": "Succeed"}}}], "End": True}
        self.assertEqual(definition.find_state({"States": {"A": inner}}, "Q"), {"Type": "Succeed"})
        self.assertIsNone(definition.find_state(PASS, "Q"))
