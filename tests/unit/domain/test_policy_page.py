from __future__ import annotations

import re
from pathlib import Path

from controlplane.adapters.strict_yaml import parse_document
from controlplane.domain.policy import Policy, Thresholds
from controlplane.domain.site import Site

PAGE = (Path(__file__).parents[3] / "docs/policy.md").read_text()


def test_the_example_on_the_page_is_a_valid_policy() -> None:
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
    Policy.model_validate(parse_document(text, "docs/policy.md").checked().data, context={"from_text": True})


def test_the_page_names_every_threshold_and_every_key_of_a_site() -> None:
    assert [name for name in (*Thresholds.model_fields, *Site.model_fields) if f"`{name}`" not in PAGE] == []
