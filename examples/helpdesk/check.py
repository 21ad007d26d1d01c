"""Prints what the data card says and checks it: `python examples/helpdesk/check.py [--json]`.

Exit status 1 where a row is not valid, a split is too small, a company or a near-duplicate lies in two
splits, or the second labelling does not fit the first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agreement import agreement
from similarity import similar_pairs, words
from split import company_key
from tickets import (
    CATEGORIES,
    CHANNELS,
    FIELDS,
    HERE,
    PRIORITIES,
    Row,
    problems,
    read_rows,
    read_splits,
    record_problems,
)

SECOND = HERE / "second-labels.jsonl"
THRESHOLDS = (0.5, 0.8)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SECOND_ROWS_MIN = 200
ROWS_MIN = {"train": 800, "calibration": 300, "heldout": 500}


def survey(splits: dict[str, list[Row]], seconds: list[Row]) -> dict[str, Any]:
    """Every figure of the data card, and under `problems` what is wrong: an empty list if nothing is."""
    rows = [row for part in splits.values() for row in part]
    by_id = {row["id"]: row for row in rows}
    duplicates = near_duplicates(splits)
    wrong = [
        *(f"{row.get('id')}: {problem}" for row in rows for problem in problems(row)),
        *(
            f"{split}: fewer than {least} rows"
            for split, least in ROWS_MIN.items()
            if len(splits[split]) < least
        ),
        *(f"id {name} is given {n} times" for name, n in Counter(row["id"] for row in rows).items() if n > 1),
        *(f"{name}: alike across splits" for name, n in duplicates["across_splits"].items() if n),
        *(f"{company}: in {' and '.join(found)}" for company, found in straddling(splits).items()),
        *second_problems(seconds, by_id),
    ]
    return {
        "rows": {"all": len(rows), **{split: len(part) for split, part in splits.items()}},
        "ambiguous": sum("ambiguous" in row for row in rows),
        "balance": {
            name: {
                value: {split: sum(row[name] == value for row in part) for split, part in splits.items()}
                for value in values
            }
            for name, values in (("category", CATEGORIES), ("priority", PRIORITIES), ("channel", CHANNELS))
        },
        "filled": {name: sum(row["record"][name] is not None for row in rows) for name in FIELDS},
        "length": {
            "words": quantiles([len(row["input"].split()) for row in rows]),
            "chars": quantiles([len(row["input"]) for row in rows]),
            "summary_words": quantiles([len(row["summary"].split()) for row in rows]),
        },
        "near_duplicates": duplicates,
        "agreement": agreement(
            [by_id[row["id"]] for row in seconds if row["id"] in by_id],
            [row for row in seconds if row["id"] in by_id],
        ),
        "problems": wrong,
    }


def near_duplicates(splits: dict[str, list[Row]]) -> dict[str, Any]:
    """How many tickets have a twin, by normalised text and Jaccard index, and how many pairs cross splits."""
    home = [split for split, part in splits.items() for _ in part]
    texts = [row["input"] for part in splits.values() for row in part]
    same = Counter(words(text) for text in texts)
    pairs = list(similar_pairs(texts, min(THRESHOLDS)))
    rate: dict[str, float] = {"exact": sum(n for n in same.values() if n > 1) / len(texts)}
    across = {
        "exact": len({(words(text), split) for text, split in zip(texts, home, strict=True)}) - len(same)
    }
    for threshold in THRESHOLDS:
        alike = [(a, b) for a, b, index in pairs if index >= threshold]
        rate[f"jaccard_{threshold}"] = len({at for pair in alike for at in pair}) / len(texts)
        across[f"jaccard_{threshold}"] = sum(home[a] != home[b] for a, b in alike)
    return {"rate": rate, "across_splits": across}


def straddling(splits: dict[str, list[Row]]) -> dict[str, list[str]]:
    """Companies whose tickets lie in more than one split, and which."""
    homes: dict[str, set[str]] = {}
    for split, part in splits.items():
        for row in part:
            homes.setdefault(company_key(row), set()).add(split)
    return {name: sorted(found) for name, found in homes.items() if name and len(found) > 1}


def second_problems(seconds: list[Row], by_id: dict[str, Row]) -> list[str]:
    """What is wrong with the second labelling: it must be of these tickets, each once, in the same words."""
    whole = len({row["id"] for row in seconds}) == len(seconds) >= SECOND_ROWS_MIN
    wrong = [] if whole else [f"second labels: not {SECOND_ROWS_MIN} different rows"]
    for row in seconds:
        if row["id"] not in by_id:
            wrong.append(f"second labels: {row['id']} is no ticket")
            continue
        found = list(record_problems(row["record"], by_id[row["id"]]["input"]))
        if row["category"] not in CATEGORIES or row["priority"] not in PRIORITIES:
            found.append(f"{row['category']}, {row['priority']}")
        wrong += [f"second labels: {row['id']}: {problem}" for problem in found]
    return wrong


def quantiles(values: Sequence[int]) -> dict[str, int]:
    """The `QUANTILES` of some counts, each an observed value (nearest rank)."""
    ordered = sorted(values)
    return {f"p{share * 100:g}": ordered[max(0, -int(-share * len(ordered) // 1) - 1)] for share in QUANTILES}


def show(found: dict[str, Any]) -> None:
    """The figures for people."""
    splits = [name for name in found["rows"] if name != "all"]
    parts = ", ".join(f"{split} {found['rows'][split]}" for split in splits)
    print(f"rows: {found['rows']['all']:,} ({parts}); marked ambiguous: {found['ambiguous']}")
    for name, values in found["balance"].items():
        print(f"\n{name:<16}{''.join(f'{split:>13}' for split in splits)}{'all':>8}")
        for value, counts in values.items():
            print(
                f"{value:<16}{''.join(f'{counts[split]:>13}' for split in splits)}{sum(counts.values()):>8}"
            )
    print(
        "\nrecord fields that are not null: "
        + ", ".join(f"{name} {n}" for name, n in found["filled"].items())
    )
    for name, values in found["length"].items():
        print(f"length, {name}: " + ", ".join(f"{quantile} {value}" for quantile, value in values.items()))
    print("\nnear-duplicates (word 3-shingles, exact Jaccard index)")
    for name, rate in found["near_duplicates"]["rate"].items():
        across = found["near_duplicates"]["across_splits"][name]
        print(f"  {name:<12} {rate:.2%} of tickets have a twin; pairs across splits: {across}")
    show_agreement(found["agreement"])
    print(
        "\n"
        + ("\n".join(found["problems"]) if found["problems"] else "all rows valid, nothing across splits")
    )


def show_agreement(found: dict[str, Any]) -> None:
    """The agreement of the two labellings for people."""
    category, priority = found["category"], found["priority"]
    print(f"\nagreement of two labellings over {found['rows']} tickets")
    print(f"  {'category':<12} {category['raw']:.1%}, Cohen's kappa {category['kappa']:.3f}")
    print(
        f"  {'priority':<12} {priority['raw']:.1%}, weighted kappa {priority['kappa_linear']:.3f} (linear), "
        f"{priority['kappa_quadratic']:.3f} (quadratic)"
    )
    print(f"  {'record':<12} {found['record']['whole']:.1%} alike in all fields")
    for name in FIELDS:
        field = found["record"][name]
        named = (
            "never named"
            if field["where_named"] is None
            else f"{field['where_named']:.1%} of the {field['named']} named by either"
        )
        print(f"  {name:<12} {field['raw']:.1%}; {named}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    as_json = parser.parse_args().json
    found = survey(read_splits(), read_rows(SECOND))
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        show(found)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
