"""PynamoDB attributes that keep whole numbers whole."""

from __future__ import annotations

from pynamodb.attributes import Attribute
from pynamodb.constants import NUMBER


class IntegerAttribute(Attribute[int]):
    """A DynamoDB number that is always a Python int.

    PynamoDB's NumberAttribute goes through JSON: it rejects Decimal and lets a float in.
    """

    attr_type = NUMBER

    def serialize(self, value: int) -> str:
        if type(value) is not int:
            raise TypeError(f"expected int, got {type(value).__name__}")
        return str(value)

    def deserialize(self, value: str) -> int:
        return int(value)
