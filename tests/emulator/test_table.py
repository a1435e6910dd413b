from __future__ import annotations

import boto3

from tests.template import stream_definition, table_definition


def test_the_deployed_table_exists_on_a_real_dynamodb(dynamodb_local_endpoint: str) -> None:
    dynamodb = boto3.client("dynamodb", endpoint_url=dynamodb_local_endpoint)
    dynamodb.create_table(**table_definition("as-deployed"), **stream_definition())

    table = dynamodb.describe_table(TableName="as-deployed")["Table"]

    assert {index["IndexName"] for index in table["GlobalSecondaryIndexes"]} == {
        "by_member",
        "by_due",
    }
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
