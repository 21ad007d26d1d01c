"""Which scorer a table makes, and what does not fit."""

import pytest

from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import JsonContract, LabelContract, TextContract
from smallfirst.errors import ScorerError
from smallfirst.scoring import open_scorer, reference_of

LABEL, JSON, TEXT = LabelContract(labels=("a", "b")), JsonContract(schema={}), TextContract()


@pytest.mark.parametrize(("contract", "kind"), [(LABEL, "label"), (JSON, "json"), (TEXT, "rouge-l")])
def test_auto_is_what_fits_the_contract(contract, kind):
    assert open_scorer(Spec(), contract).id.startswith(f"{kind}@1:")
    assert open_scorer(Spec(), contract).id == open_scorer(Spec(kind=kind), contract).id


@pytest.mark.parametrize(
    ("kind", "contract"),
    [("label", JSON), ("label", TEXT), ("json", TEXT), ("rouge-l", LABEL), ("chrf", JSON)],
)
def test_a_scorer_of_another_contract_is_refused(kind, contract):
    with pytest.raises(ScorerError, match=r"scorer\.kind: .* contracts, and this one is"):
        open_scorer(Spec(kind=kind), contract)


def test_an_embedder_that_is_not_known():
    with pytest.raises(ScorerError, match=r"scorer\.embedder: .*not known"):
        open_scorer(Spec(kind="embedding", embedder="nonsense"), TEXT)


def test_an_answer_becomes_a_reference():
    assert reference_of(" a\n", LABEL) == "a"
    assert reference_of("b, a", LabelContract(labels=("a", "b"), pick="several")) == ["b", "a"]
    assert reference_of('{"x": 1}', JSON) == {"x": 1}
    assert reference_of("Hello.", TEXT) == ["Hello."]
    with pytest.raises(ScorerError, match="not JSON"):
        reference_of("Hello.", JSON)
