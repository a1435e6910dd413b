"""What template.yaml says, so that the tests use the very table that is deployed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).resolve().parents[1] / "template.yaml"

# Properties of AWS::DynamoDB::Table that create_table takes under the same name.
_TAKEN = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref Table` becomes {"Ref": "Table"}."""


def _short_form(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    function = name if name in ("Ref", "Condition") else f"Fn::{name}"
    match node:
        case yaml.ScalarNode():
            return {function: loader.construct_scalar(node)}
        case yaml.SequenceNode():
            return {function: loader.construct_sequence(node, deep=True)}
        case yaml.MappingNode():
            return {function: loader.construct_mapping(node, deep=True)}
    raise AssertionError(f"unknown node {node}")


_Loader.add_multi_constructor("!", _short_form)


@cache
def template() -> dict[str, Any]:
    """Return the template with its functions in their long form, not evaluated."""
    loader = _Loader(TEMPLATE.read_text())
    try:
        document: dict[str, Any] = loader.get_single_data()
    finally:
        loader.dispose()
    return document


def table_definition(name: str) -> dict[str, Any]:
    """Return the arguments for boto3's `create_table` that make the deployed table as `name`.

    They leave out its stream, which nobody reads there: DynamoDB Local gets slower with all that a
    stream ever carried, and moto copies that at every transaction.
    """
    properties = _table_properties()
    return {"TableName": name, **{key: properties[key] for key in _TAKEN}}


def stream_definition() -> dict[str, Any]:
    """Return the argument for boto3's `create_table` that gives the table its stream."""
    stream = {"StreamEnabled": True, **_table_properties()["StreamSpecification"]}
    return {"StreamSpecification": stream}


def _table_properties() -> dict[str, Any]:
    properties: dict[str, Any] = template()["Resources"]["Table"]["Properties"]
    return properties
