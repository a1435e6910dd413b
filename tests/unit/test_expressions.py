from __future__ import annotations

from typing import Any

from pynamodb.connection import Connection
from pynamodb.expressions.operand import Path

from headroom.core.store.table import Check, DynamoTable, Key

A, B, C, D = (Path(name) for name in "abcd")


def expression(condition: Any) -> str:
    table = DynamoTable(Connection(region="us-east-1"), "table")
    arguments = table._arguments(Check(Key("pk", "sk"), condition))
    names, values = (
        arguments["ExpressionAttributeNames"],
        arguments["ExpressionAttributeValues"],
    )
    text: str = arguments["ConditionExpression"]
    for short, name in names.items():
        text = text.replace(short, name)
    for short, value in values.items():
        text = text.replace(short, value["N"])
    return text


def test_a_chain_of_conditions_is_sent_without_nested_brackets() -> None:
    condition = (A == 1) & ((B > 2) & (C >= 3)) & (D < 4)

    assert expression(condition) == "a = 1 AND b > 2 AND c >= 3 AND d < 4"


def test_what_is_no_chain_keeps_its_brackets() -> None:
    condition = ((A == 1) | ((B > 2) & (C >= 3))) & ~(D < 4)

    assert expression(condition) == "(a = 1 OR (b > 2 AND c >= 3)) AND (NOT d < 4)"
