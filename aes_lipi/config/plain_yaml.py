"""YAML as study files have it: text means what it means as a flag, and nothing unfolds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

_LONGEST_NUMBER = 1000  # characters
_ERRORS = (
    yaml.YAMLError,
    ValueError,
    RecursionError,
    # What ill-formed values of explicit tags, such as `!!int ""`, make PyYAML raise.
    LookupError,
    AttributeError,
    ArithmeticError,
)


def read_yaml(text: str) -> Any:
    """The content of a text of YAML.

    Raises:
        ValueError: it is no YAML, says something twice, or has aliases or endless numbers.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except _ERRORS as error:
        raise ValueError(str(error)) from None


_TEXT_BUT_NULL = {
    letter: [(tag, form) for tag, form in forms if tag == "tag:yaml.org,2002:null"]
    for letter, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, which could unfold to a huge study, and without repeated keys.

    A value without quotes is its text, as on the command line: YAML 1.1 takes `010` for eight,
    `5:00` for 300 and `2_4_8` for 248. Only null stays what it is.
    """

    yaml_implicit_resolvers = _TEXT_BUT_NULL

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice where SafeLoader would take the last."""
        keys = Counter(str(key.value) for key, _ in node.value)
        for key, count in keys.most_common(1):
            if count > 1:
                raise yaml.YAMLError(f"the key {key!r} stands twice")
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Refuse a number so long that to read it would take minutes."""
        is_number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if is_number and len(node.value) > _LONGEST_NUMBER:
            raise yaml.YAMLError(f"a number of {len(node.value)} characters")
        return super().construct_scalar(node)

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias where SafeLoader would follow it."""
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not supported in study files")
        return super().compose_node(parent, index)
