"""template.yaml with its conditions decided and its functions evaluated, for any parameters.

What only exists once it is deployed gets a speaking name: a function's is its logical id, an
attribute's is `Resource.Attribute`, an address has the form that AWS gives it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tests.template import template

PSEUDO: Final = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "headroom-test",
    "AWS::URLSuffix": "amazonaws.com",
}
# Attributes whose form matters, because people and programs go there.
ADDRESSES: Final = {
    "Api.ApiEndpoint": "https://Api.execute-api.us-east-1.amazonaws.com",
    "Edge.DomainName": "Edge.cloudfront.net",
}
_NO_VALUE: Final = object()
_VARIABLE: Final = re.compile(r"\$\{(!?)([^}]+)\}")


class DeadReference(Exception):
    """Something refers to a resource that is not made with these parameters."""


class Resolved:
    """The template as it is deployed with these parameters; the others have their defaults."""

    def __init__(self, **parameters: str) -> None:
        declared = template()["Parameters"]
        unknown = parameters.keys() - declared.keys()
        assert not unknown, unknown
        self._parameters: dict[str, str] = {
            name: str(parameters.get(name, each.get("Default", "")))
            for name, each in declared.items()
        }
        self._decided: dict[str, bool] = {}

    def holds(self, condition: str) -> bool:
        """Tell whether a condition of the template holds."""
        if condition not in self._decided:
            decided = bool(self.value(template()["Conditions"][condition]))
            self._decided[condition] = decided
        return self._decided[condition]

    def is_made(self, name: str) -> bool:
        """Tell whether a resource is made."""
        condition = template()["Resources"][name].get("Condition")
        return condition is None or self.holds(condition)

    def refusals(self) -> list[str]:
        """Return why no stack is made with these parameters: what the template's rules say."""
        return [
            assertion["AssertDescription"]
            for rule in template()["Rules"].values()
            if "RuleCondition" not in rule or self.value(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self.value(assertion["Assert"])
        ]

    def resources(self, *kinds: str) -> dict[str, dict[str, Any]]:
        """Return the properties of the resources of these types that are made, by logical id."""
        return {
            name: self.value(resource.get("Properties", {}))
            for name, resource in template()["Resources"].items()
            if resource["Type"] in kinds and self.is_made(name)
        }

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs."""
        return {
            name: self.value(output["Value"])
            for name, output in template()["Outputs"].items()
            if "Condition" not in output or self.holds(output["Condition"])
        }

    def function(self, name: str) -> dict[str, Any]:
        """Return a function's properties with what Globals say of every function."""
        properties = self.resources("AWS::Serverless::Function")[name]
        merged: dict[str, Any] = _merged(self.value(template()["Globals"]["Function"]), properties)
        return merged

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a function."""
        variables: dict[str, str] = self.function(name)["Environment"]["Variables"]
        return {variable: str(value) for variable, value in variables.items()}

    def value(self, raw: Any) -> Any:
        """Evaluate a value.

        Raises:
            DeadReference: it refers to a resource that is not made.
        """
        match raw:
            case {"Ref": str(name)} if len(raw) == 1:
                return self._referred(name)
            case {"Condition": str(name)} if len(raw) == 1:
                return self.holds(name)
            case dict() if len(raw) == 1 and next(iter(raw)).startswith("Fn::"):
                ((function, argument),) = raw.items()
                return self._called(function.removeprefix("Fn::"), argument)
            case dict():
                named = {name: self.value(each) for name, each in raw.items()}
                return {name: each for name, each in named.items() if each is not _NO_VALUE}
            case list():
                listed = [self.value(each) for each in raw]
                return [each for each in listed if each is not _NO_VALUE]
        return raw

    def _called(self, function: str, argument: Any) -> Any:
        match function, argument:
            case "If", [condition, yes, no]:
                return self.value(yes if self.holds(condition) else no)
            case "Not", [one]:
                return not self.value(one)
            case "And", [*several]:
                return all(self.value(each) for each in several)
            case "Or", [*several]:
                return any(self.value(each) for each in several)
            case "Equals", [one, other]:
                return str(self.value(one)) == str(self.value(other))
            case "GetAtt", str(path):
                return self._attribute(path)
            case "Sub", [text, variables]:
                return self._substituted(text, self.value(variables))
            case "Sub", str(text):
                return self._substituted(text, {})
            case "Join", [separator, parts]:
                return separator.join(self.value(parts))
            case "Split", [separator, text]:
                return self.value(text).split(separator)
            case "Select", [index, several]:
                return self.value(several)[int(index)]
            case "FindInMap", [name, *keys]:
                found = template()["Mappings"][name]
                for key in keys:
                    found = found[self.value(key)]
                return found
        raise AssertionError(f"unknown function {function} of {argument}")

    def _substituted(self, text: str, variables: Mapping[str, str]) -> str:
        def put(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return variables[name]
            return str(self._attribute(name) if "." in name else self._referred(name))

        return _VARIABLE.sub(put, text)

    def _referred(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self._parameters:
            return self._parameters[name]
        self._require(name)
        return name

    def _attribute(self, path: str) -> str:
        self._require(path)
        return ADDRESSES.get(path, path)

    def _require(self, path: str) -> None:
        name = path.partition(".")[0]
        if not self.is_made(name):
            raise DeadReference(f"{path}: this resource is not made")


def _merged(general: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Merge as SAM merges Globals: maps by key, lists one after the other, else the own value."""
    merged = dict(general)
    for name, value in own.items():
        match merged.get(name), value:
            case dict() as known, dict():
                merged[name] = _merged(known, value)
            case list() as known, list():
                merged[name] = [*known, *value]
            case _:
                merged[name] = value
    return merged
