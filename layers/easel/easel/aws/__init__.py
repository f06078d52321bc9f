"""The AWS adapters: one module per service, and nothing else imports botocore."""
