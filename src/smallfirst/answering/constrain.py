"""How an engine that the user owns is held to a contract while it decodes.

Hosted providers are sent nothing of the kind: a client that wants structured output asks for it itself.
"""

from __future__ import annotations

import json
from typing import Any

from smallfirst.contracts import Contract, JsonContract, LabelContract


def constraint(contract: Contract, engine: str) -> dict[str, Any]:
    """The fields that make `engine` ("llamacpp", "vllm") decode only what the contract allows; empty where it cannot be said."""
    if engine == "hosted":
        return {}
    if isinstance(contract, JsonContract):
        schema = {"name": "answer", "schema": contract.schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if isinstance(contract, LabelContract) and contract.pick in ("one", "ordinal"):
        if engine == "vllm":
            return {"structured_outputs": {"choice": list(contract.labels)}}
        # A JSON string literal is a GBNF literal too.
        return {
            "grammar": "root ::= "
            + " | ".join(json.dumps(label, ensure_ascii=False) for label in contract.labels)
        }
    return {}
