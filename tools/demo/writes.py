"""What the table was asked to write, as its own stream tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Shown in this order; what begins with none of them is "other".
KINDS: Final = {"BUDGET": "budget", "LINE": "ledger line", "POOL": "pool"}
OTHER: Final = "other"


class StreamsClient(Protocol):
    """The part of boto3's "dynamodbstreams" client that counting takes."""

    def describe_stream(self, *, StreamArn: str) -> dict[str, Any]: ...  # noqa: N803

    def get_shard_iterator(self, **arguments: str) -> dict[str, Any]: ...

    def get_records(self, *, ShardIterator: str) -> dict[str, Any]: ...  # noqa: N803


@dataclass(slots=True)
class WriteCounter:
    """Counts the items written since it was made, by what they are.

    The stream has every write that changed an item, so writes that were refused are not in it.
    """

    client: StreamsClient
    iterators: list[str]

    @classmethod
    def from_now(
        cls, dynamodb: DynamoDBClient, streams: StreamsClient, table_name: str
    ) -> WriteCounter:
        """Start to count."""
        arn = dynamodb.describe_table(TableName=table_name)["Table"]["LatestStreamArn"]
        shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        iterators = [
            streams.get_shard_iterator(
                StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="LATEST"
            )["ShardIterator"]
            for shard in shards
        ]
        return cls(streams, iterators)

    def count(self, org_ids: Collection[str]) -> Counter[str]:
        """Return how many writes changed items of these organizations, by kind of item."""
        counts: Counter[str] = Counter()
        for first in self.iterators:
            iterator: str | None = first
            while iterator:
                answer = self.client.get_records(ShardIterator=iterator)
                for record in answer["Records"]:
                    key = record["dynamodb"]["Keys"]
                    if key["pk"]["S"].split("#")[1] in org_ids:
                        counts[_kind(key["sk"]["S"])] += 1
                iterator = answer.get("NextShardIterator") if answer["Records"] else None
        return counts


def _kind(sort_key: str) -> str:
    return KINDS.get(sort_key.partition("#")[0], OTHER)
