"""The template as data, for the local stack and the tests: a tag is read as its long form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags."""


def _intrinsic(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        value: Any = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        value = node.value.split(".", 1) if name == "GetAtt" else node.value
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path = ROOT / "template.yaml") -> dict[str, Any]:
    """Return the template; ``!GetAtt A.B`` becomes ``{"Fn::GetAtt": ["A", "B"]}``, and so on."""
    with path.open() as text:
        template: dict[str, Any] = yaml.load(text, _Loader)
    return template


def gateway_responses(template: dict[str, Any], *, cors: bool = False) -> dict[str, dict[str, Any]]:
    """Return API Gateway's own errors by type; ``cors`` says whether there are allowed origins."""
    responses: dict[str, dict[str, Any]] = template["Resources"]["Api"]["Properties"][
        "GatewayResponses"
    ]
    return {kind: response | _parameters(response, cors) for kind, response in responses.items()}


def _parameters(response: dict[str, Any], cors: bool) -> dict[str, Any]:
    headers = {
        name: value if isinstance(value, str) else value["Fn::If"][1 if cors else 2]
        for name, value in response["ResponseParameters"]["Headers"].items()
    }
    set_headers = {name: value for name, value in headers.items() if isinstance(value, str)}
    return {"ResponseParameters": {"Headers": set_headers}}
