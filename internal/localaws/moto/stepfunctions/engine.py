"""The Step Functions engine, made fast. moto creates a client for every call, parses a definition for every execution, copies with
deepcopy, logs a tree of components at every failure, and keeps every thread it ever started. A Map with some hundred items
overflows the stack, and copies its whole input for every item. An event took 86 ms.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import threading
import types
from typing import TYPE_CHECKING, Any

from antlr4 import CommonTokenStream, InputStream, ParserRuleContext, Token
from antlr4.atn.PredictionMode import PredictionMode
from antlr4.ListTokenSource import ListTokenSource
from antlr4.Token import CommonToken
from moto.stepfunctions.parser import models as engine_models
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.intrinsic.function.statesfunction.json_manipulation.json_to_string import JsonToString
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker, job
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
    inline_item_processor_worker,
)
from moto.stepfunctions.parser.asl.antlr.runtime.ASLIntrinsicLexer import ASLIntrinsicLexer
from moto.stepfunctions.parser.asl.antlr.runtime.ASLIntrinsicParser import ASLIntrinsicParser
from moto.stepfunctions.parser.asl.antlr.runtime.ASLLexer import ASLLexer
from moto.stepfunctions.parser.asl.antlr.runtime.ASLParser import ASLParser
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser, ASLParserException, SyntaxErrorListener
from moto.stepfunctions.parser.asl.parse.intrinsic import preprocessor as intrinsic_preprocessor
from moto.stepfunctions.parser.asl.parse.intrinsic.intrinsic_parser import IntrinsicParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.static_analyser.variable_references_static_analyser import VariableReferencesStaticAnalyser

from clients import engine_client
from patching import replace_in_engine
from stepfunctions.definition import InvalidDefinition, check_definition, for_grammar
from stepfunctions.exact_json import ExactNumber, fill_exact_json, to_json

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment


class Discarded(list):
    """Replaces a list that only ever grows."""

    def append(self, item: Any) -> None:
        pass


SCALARS = frozenset((str, int, float, bool, type(None), ExactNumber))


def copy_json(value: Any, memo: Any = None) -> Any:
    """A deepcopy for the data of states, which is JSON. It leaves anything else to the real one."""
    kind = type(value)
    if kind is dict:
        return {name: one if type(one) in SCALARS else copy_json(one) for name, one in value.items()}
    if kind is list:
        return [one if type(one) in SCALARS else copy_json(one) for one in value]
    return value if kind in SCALARS else copy.deepcopy(value, memo)


PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\]:,]+|[{}\[\]:,]')


@functools.lru_cache(maxsize=5000)
def token_type(piece: str) -> int:
    """Returns the type of the token that a piece of a definition is."""
    lexer = ASLLexer(InputStream(piece))
    token, after = lexer.nextToken(), lexer.nextToken()
    if after.type != Token.EOF:
        raise ASLParserException(errors=[f"{piece} is not one token"])
    return token.type


class Tokens(ListTokenSource):
    """Replaces ASLLexer, which reads character by character. Two definitions have most of their pieces in common."""

    def __init__(self, text: InputStream) -> None:
        tokens = []
        for piece in PIECES.finditer(text.strdata):
            token = CommonToken((None, text), token_type(piece.group()), start=piece.start(), stop=piece.end() - 1)
            token.text, token.line, token.column = piece.group(), 1, piece.start()
            tokens.append(token)
        super().__init__(tokens)


class FastParser(ASLParser):
    """Looks at less of a definition to decide what a part of it is. ANTLR's full parser reads what this one accepts in the same way."""

    def __init__(self, tokens: CommonTokenStream) -> None:
        super().__init__(tokens)
        self._interp.predictionMode = PredictionMode.SLL


TREES: dict[tuple[int, ...], tuple[list[CommonToken], ParserRuleContext]] = {}  # by the types of the tokens
MOST_TREES = 20
PARSING = threading.Lock()  # many executions of one definition can start at once, and the trees change


def parse_tree(tokens: Tokens) -> ParserRuleContext:
    listener = SyntaxErrorListener()
    parser = FastParser(CommonTokenStream(tokens))
    parser.removeErrorListeners()
    parser.addErrorListener(listener)
    tree = parser.state_machine()
    if listener.errors:
        raise ASLParserException(errors=listener.errors)
    return tree


def text_of(rule: ParserRuleContext) -> str:
    """Replaces getText, which goes down to each token of a rule. moto makes the message of an error that does not happen of whole definitions."""
    tokens = rule.parser.getTokenStream().tokens
    return "".join(token.text for token in tokens[rule.start.tokenIndex:rule.stop.tokenIndex + 1])


def parse_fast(text: str) -> EvalComponent:
    """Parses a definition. The types of its tokens alone decide which rules of the grammar it follows, so definitions that differ in names,
    such as those of one state machine in two stacks, share a tree, and each puts its own texts into it.
    """
    tokens = Tokens(InputStream(text))
    types_of_tokens = tuple(token.type for token in tokens.tokens)
    if types_of_tokens not in TREES:
        tree = parse_tree(tokens)
        if len(TREES) == MOST_TREES:
            TREES.clear()
        TREES[types_of_tokens] = tokens.tokens, tree
    in_tree, tree = TREES[types_of_tokens]
    for old, new in zip(in_tree, tokens.tokens):
        old.text = new.text
    return Preprocessor().visit(tree)


def parse_intrinsic(text: str) -> tuple[Any, Any]:
    """Replaces IntrinsicParser.parse, which prints syntax errors and leaves out what it cannot read."""
    listener = SyntaxErrorListener()
    lexer = ASLIntrinsicLexer(InputStream(text))
    parser = ASLIntrinsicParser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
        part.addErrorListener(listener)
    tree = parser.func_decl()
    if listener.errors or parser.getCurrentToken().type != Token.EOF:
        raise ValueError(f"{text}: {(listener.errors or ['there is more after its end'])[0]}")
    return intrinsic_preprocessor.Preprocessor().visit(tree), tree


def eval_json_to_string(self: Any, env: Environment) -> None:
    """Replaces JsonToString._eval_body, which escapes characters."""
    self.argument_list.eval(env=env)
    env.stack.append(to_json(env.stack.pop().pop()))


def fill_engine() -> None:
    fill_exact_json()
    JsonToString._eval_body = eval_json_to_string
    replace_in_engine("boto_client_for", engine_client)
    replace_in_engine("TMP_THREADS", Discarded())
    replace_in_engine("copy", types.SimpleNamespace(deepcopy=copy_json, copy=copy.copy))
    EvalComponent._log_failure_event_exception = lambda self, failure_event_exception: None
    EvalComponent._log_exception = lambda self, exception: None
    replace_in_engine("to_json_str", to_json)
    job.JobPool.get_closed_jobs = lambda self: sorted(self._closed_jobs, key=lambda closed: closed.job_index)
    ParserRuleContext.getText = text_of
    parse = AmazonStateLanguageParser.parse
    IntrinsicParser.parse = staticmethod(parse_intrinsic)

    @functools.lru_cache(maxsize=20)  # errors are not kept
    def validate_definition(definition: str) -> None:
        check_definition(definition)
        try:
            AmazonStateLanguageParser.parse(definition)
        except Exception as error:
            raise InvalidDefinition(f"Invalid State Machine Definition: '{error}'")

    engine_models.StepFunctionsParserBackend._validate_definition = staticmethod(validate_definition)

    @functools.lru_cache(maxsize=20)
    def program_of(definition: str) -> EvalComponent:
        text = json.dumps(for_grammar(json.loads(definition)), ensure_ascii=False)
        try:
            return parse_fast(text)
        except ASLParserException:
            return parse(text)[0]

    def parse_definition(definition: str) -> tuple[EvalComponent, None]:
        with PARSING:
            return program_of(definition), None

    AmazonStateLanguageParser.parse = staticmethod(parse_definition)
    # It is the only one that wants a tree, and finds nothing: a definition with variables is refused.
    VariableReferencesStaticAnalyser.process_and_get = staticmethod(lambda definition: {})

    def eval_pool(self: iteration_worker.IterationWorker, job: Any, worker_frame: Environment) -> None:
        """moto's method calls itself for each item, so a worker with some hundred items overflows the stack."""
        while job is not None:
            frame = worker_frame.open_inner_frame()
            self._eval_job(env=frame, job=job)
            worker_frame.close_frame(frame)
            failed = isinstance(job.job_output, Exception) or self.stopped()
            following = None if failed else self._job_pool.next_job()
            if following is None:
                if not failed:
                    worker_frame.event_history_context.source_event_id = frame.event_history_context.last_published_event_id
                self._env.close_frame(worker_frame)
            self._job_pool.close_job(job)
            if following is None:
                return
            job = following
        self._env.close_frame(worker_frame)

    def eval_input(self: inline_item_processor_worker.InlineItemProcessorWorker, env_frame: Environment) -> None:
        """moto's method copies the Map's whole input for each of its items."""
        selector = self._item_selector or self._parameters
        if selector:
            whole_input = self._env.stack[-1]
            env_frame.states._states_data["input"] = whole_input
            env_frame.stack.append(whole_input)
            selector.eval(env_frame)
            env_frame.states.reset(input_value=env_frame.stack[-1])
            env_frame.stack.clear()  # or each task of the item would copy what is on it

    iteration_worker.IterationWorker._eval_pool = eval_pool
    inline_item_processor_worker.InlineItemProcessorWorker._eval_input = eval_input
