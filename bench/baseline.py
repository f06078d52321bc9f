"""What a plain function that speaks to OpenAI and AWS loads before its first call."""

import aws_lambda_powertools  # noqa: F401  # loading it is what is measured
import boto3
import openai  # noqa: F401  # as above
import pydantic  # noqa: F401  # as above

clients = [boto3.client(service) for service in ("s3", "dynamodb", "secretsmanager")]
