"""Easel: an OpenAI-compatible image API for one's own AWS account."""
