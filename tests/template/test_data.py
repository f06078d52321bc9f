"""Data at rest: keys, encryption, what expires and what never does."""

import pytest

from local.template import load

TEMPLATE = load()
PARAMETERS = TEMPLATE["Parameters"]


def properties(name):
    return TEMPLATE["Resources"][name]["Properties"]


@pytest.mark.parametrize(
    ("table", "key"),
    [("JobsTable", ["tenant", "sk"]), ("LedgerTable", ["tenant", "sk"]), ("TenantsTable", ["id"])],
)
def test_a_table_has_its_key_and_is_encrypted(table, key):
    made = properties(table)
    assert [part["AttributeName"] for part in made["KeySchema"]] == key
    assert made["BillingMode"] == "PAY_PER_REQUEST"
    assert made["SSESpecification"] == {"SSEEnabled": True}


def test_open_jobs_are_found_by_when_they_are_due():
    jobs = properties("JobsTable")
    assert jobs["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    [index] = jobs["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "open"
    assert [part["AttributeName"] for part in index["KeySchema"]] == ["open", "due_at"]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


@pytest.mark.parametrize("name", ["LedgerTable", "TenantsTable"])
def test_money_and_who_has_it_are_neither_forgotten_nor_deleted(name):
    table = properties(name)
    assert "TimeToLiveSpecification" not in table
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["DeletionProtectionEnabled"] == {"Ref": "LedgerDeletionProtection"}
    assert TEMPLATE["Resources"][name]["UpdateReplacePolicy"] == "Retain"
    assert PARAMETERS["LedgerDeletionProtection"]["Default"] == "true"


def test_the_bucket_is_closed_versioned_and_swept():
    bucket = properties("Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["BucketEncryption"]
    rules = {rule.get("Prefix"): rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    for prefix in ("inputs/", "images/", "inbox/", "outbox/"):
        assert rules[prefix]["ExpirationInDays"] == {"Ref": "RetentionDays"}
    assert rules["answers/"]["ExpirationInDays"] == 1
    assert rules[None]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert rules[None]["NoncurrentVersionExpiration"]["NoncurrentDays"] >= 1
    [statement] = properties("BucketPolicy")["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def every(kind):
    return {name for name, made in TEMPLATE["Resources"].items() if made["Type"] == kind}


def test_every_queue_is_encrypted():
    assert len(every("AWS::SQS::Queue")) >= 4
    for queue in every("AWS::SQS::Queue"):
        assert properties(queue)["SqsManagedSseEnabled"] is True


def test_every_log_group_ends():
    assert every("AWS::Logs::LogGroup") == {"Logs", "ApiLogs"}
    for group in every("AWS::Logs::LogGroup"):
        assert properties(group) == {"RetentionInDays": {"Ref": "LogRetentionDays"}}
    function = TEMPLATE["Globals"]["Function"]
    assert function["LoggingConfig"] == {"LogGroup": {"Ref": "Logs"}}


def test_the_secret_holds_no_key_and_no_parameter_does():
    assert properties("UpstreamSecret")["SecretString"] == "{}"
    assert not [name for name, one in PARAMETERS.items() if one.get("NoEcho")]


def skips(node):
    """Yield every skip of checkov's, with its reason."""
    for resource in node.values():
        yield from resource.get("Metadata", {}).get("checkov", {}).get("skip", [])


def test_what_checkov_is_not_to_ask_has_its_reason():
    found = list(skips(TEMPLATE["Resources"]))
    assert found
    assert all(len(one["comment"]) > 20 for one in found)
