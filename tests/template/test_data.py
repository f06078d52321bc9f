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


def test_the_ledger_forgets_nothing():
    ledger = properties("LedgerTable")
    assert "TimeToLiveSpecification" not in ledger
    assert ledger["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert ledger["DeletionProtectionEnabled"] == {"Ref": "LedgerDeletionProtection"}
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
