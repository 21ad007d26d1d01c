"""A verdict in words: what a pull request shows, and that text from data stays text."""

import msgspec
from inline_snapshot import snapshot

from smallfirst.gate.report import EXIT_STATUS, budget_words, loss_words, markdown, points
from smallfirst.releases.verdict import Alert, Budget, Comparison, TaskVerdict, Verdict

PASSED = Comparison(
    against="frontier",
    finding="pass",
    examples=1200,
    groups=1100,
    score=0.956,
    other_score=0.954,
    loss=-0.002,
    low=-0.024,
    high=0.02,
    bound=0.0301,
    margin=0.05,
    alpha=0.025,
)


def changed(**fields):
    return msgspec.structs.replace(PASSED, **fields)


def verdict(*tasks, **fields):
    told = {"finding": "pass", "at_ms": 1_795_640_481_000, "by": "ann", "version": "0.1.0", **fields}
    return Verdict(candidate="c" * 64, comparator="baseline", tasks=tasks, **told)


def task(**fields):
    told = {
        "finding": "pass",
        "comparisons": (PASSED,),
        "read": 1,
        "dataset": "d" * 64,
        "scorer": "label@1",
        **fields,
    }
    return TaskVerdict(task="triage", policy="p", live_policy="l", rule="r", **told)


def test_a_pass():
    same = TaskVerdict(task="same", finding="pass", policy="p", live_policy="p", rule="r", unchanged=True)
    found = verdict(task(), same)
    assert markdown(found).replace(found.id, "ID") == snapshot("""\
## ✅ smallfirst gate: pass

Release `cccccccccccc` against the baseline, by ann on 2026-11-25 21:01 UTC with smallfirst 0.1.0.

### ✅ triage: pass

Dataset `dddddddddddd` (read 1 of its held-out part), scorer `label@1`.

| | against | examples | score | theirs | loss (95 %) | bound | margin |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
| ✅ | frontier | 1,200 | 95.6 | 95.4 | -0.2 (-2.4 to +2.0) | +3.0 | +5.0 |

### ✅ same: pass

The policy is the live one: there is nothing to compare.

Verdict `ID`, not signed.
""")


def test_sentences():
    short = changed(finding="not-enough-evidence", bound=0.07, examples_needed=2400)
    seen, at = "loss -0.2 (-2.4 to +2.0); below", "with 97.5 % confidence"
    assert loss_words(PASSED) == f"{seen} +3.0 {at}, the margin is +5.0"
    assert loss_words(changed(finding="fail", loss=0.12, low=0.1, high=0.14)) == (
        "loss +12.0 (+10.0 to +14.0): it is worse, and by more than the margin of +5.0"
    )
    assert loss_words(short) == (
        f"{seen} +7.0 {at}, and not below the margin of +5.0: about 2,400 examples would, there are 1,200"
    )
    assert loss_words(msgspec.structs.replace(short, examples_needed=None)) == (
        f"{seen} +7.0 {at}, and not below the margin of +5.0: no number of examples like these would show it"
    )
    cost = "cost a call over the live release's"
    kept = Budget(of="cost", finding="pass", value=0.403, bound=0.45, limit=0.5)
    unknown = Budget(of="cost", finding="not-enough-evidence", value=None, bound=None, limit=0.5)
    assert budget_words(kept) == f"{cost}: 0.403, at most 0.45 with 95 % confidence, the limit is 0.5"
    assert budget_words(unknown) == f"{cost}: no price is known, the limit is 0.5"


def test_points_have_a_sign_and_nothing_has_none():
    assert [points(x) for x in (0.0123, -0.05, 0.0, -0.0001)] == ["+1.2", "-5.0", "0.0", "0.0"]


def test_simulated_models_and_a_single_task_are_said():
    text = markdown(verdict(task(), simulated=("frontier",)), task="triage")
    assert "**Simulated:** `frontier`" in text
    assert "no verdict on the release" in text
    assert "Verdict `" not in text


def test_text_from_data_is_only_text():
    worse = Alert(slice="channel=<img src=x>|`a`\n# b", examples=30, loss=0.2, p=0.01)
    text = markdown(verdict(task(alerts=(worse,), note="see [this](http://x)"), by="ann*"))
    assert "<img" not in text
    assert "](http" not in text
    assert "\n# b" not in text


def test_status():
    assert EXIT_STATUS == {"pass": 0, "fail": 3, "not-enough-evidence": 4}
