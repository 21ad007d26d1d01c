"""How an engine that the user owns is held to a contract while it decodes.

Hosted providers are sent nothing of the kind: a client that wants structured output asks for it itself.
"""

from __future__ import annotations

import json
import re
from typing import Any

from smallfirst.contracts import Contract, JsonContract, LabelContract

_SEPARATED = re.compile(r"[,\n\r]")


def constraint(contract: Contract, engine: str) -> dict[str, Any]:
    """The fields that make `engine` ("llamacpp", "vllm") decode only what the contract allows; empty where it cannot be said."""
    if engine == "hosted":
        return {}
    if isinstance(contract, JsonContract):
        schema = {"name": "answer", "schema": contract.schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if isinstance(contract, LabelContract):
        if engine == "llamacpp":
            return {"grammar": grammar_of(contract)}
        if contract.pick in ("one", "ordinal"):
            return {"structured_outputs": {"choice": list(contract.labels)}}
        return {"structured_outputs": {"grammar": grammar_of(contract)}}
    return {}


def grammar_of(contract: LabelContract) -> str:
    """The contract as a grammar (GBNF, which vLLM reads too): one label, or labels in any form that the check reads, as the model likes it.

    That no label is given twice, and that a ranking has all, no short grammar can say: the check sees to it.
    """
    labels = contract.labels
    if contract.pick in ("one", "ordinal"):
        return f"root ::= {_choice(labels)}"
    some = '"[" json ("," " "? json)* "]"'
    forms = [some, '"[]"'] if contract.allow_empty else [some]
    rules = [f"json ::= {_choice([json.dumps(label, ensure_ascii=False) for label in labels])}"]
    if not any(_SEPARATED.search(label) for label in labels):
        forms.append('label (", " label)* | label ("," label)* | label ("\\n" label)*')
        rules.append(f"label ::= {_choice(labels)}")
    return "\n".join([f"root ::= {' | '.join(forms)}", *rules])


def _choice(texts: list[str] | tuple[str, ...]) -> str:
    """A JSON string literal is a GBNF literal too."""
    return " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)
