"""What every item of the table has.

Models say which attributes an item has, and build the expressions that change them. Each lies
beside its writes. Reading and writing goes through `Table`, so that each operation is one call
whose refusal can be read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Self

from pynamodb.attributes import UnicodeAttribute
from pynamodb.models import Model

from headroom.core.store.attributes import IntegerAttribute
from headroom.core.store.table import Item

# The version of what items look like; those without one are of the first. It tells, and decides
# nothing: while traffic shifts, two versions are read by either release.
SCHEMA: Final = 3


class Record(Model):
    """What every item has: its key, and the version of the schema that it was written under."""

    class Meta:
        table_name = "headroom"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    v = IntegerAttribute(default=SCHEMA)

    @classmethod
    def of(cls, item: Item) -> Self:
        """Read an item of the table."""
        return cls.from_raw_data(item)

    def to_item(self) -> Item:
        """Return the item without its key."""
        raw: Item = self.serialize()
        return {name: value for name, value in raw.items() if name not in ("pk", "sk")}


def wire_moment(moment: datetime) -> str:
    """Print a moment so that text sorts as time: always with microseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
