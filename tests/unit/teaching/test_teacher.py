"""Who may teach is known before anybody is asked."""

from __future__ import annotations

import pytest

from smallfirst.config.load import parse
from smallfirst.errors import ConfigError
from smallfirst.teaching.teacher import teacher_of

CONFIG = """
[providers.heads]
kind = "head"
[providers.up]
base_url = "http://127.0.0.1:9/v1"
simulated = true
[providers.other]
base_url = "http://127.0.0.1:9/v1"
[models.sorter]
provider = "heads"
id = "triage"
[models.small]
provider = "up"
[models.again]
provider = "up"
id = "small"
[models.big]
provider = "up"
[models.theirs]
provider = "other"
[aliases]
gpt = "big"
[learning]
never_train_on = ["other"]
[tasks.triage]
ladder = ["sorter", "small", "big"]
"""


def test_the_frontier_may_teach_by_its_name_or_alias() -> None:
    config = parse(CONFIG)
    for name in ("big", "gpt"):
        found = teacher_of("triage", name, config, option="--from")
        assert (found.name, found.provider, found.simulated) == ("big", "up", True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bigg", "did you mean"),
        ("sorter", "label head"),
        ("small", "would teach itself"),
        ("again", "would teach itself"),
        ("theirs", "never_train_on names its provider 'other'"),
    ],
)
def test_others_may_not(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        teacher_of("triage", name, parse(CONFIG), option="--from")
    assert "--from" in str(error.value)
