"""The JSON Schema of policy.yml."""

from __future__ import annotations

from typing import Any

from controlplane.domain.names import CONTAINER, GROUP, HOST, TIER
from controlplane.domain.policy import Policy

URL = "https://json-schema.org/draft/2020-12/schema"
_KEYS = {"hosts": HOST, "groups": GROUP, "tiers": TIER}


def policy_schema() -> dict[str, Any]:
    """Return the schema: every key with its description, names and units by pattern.

    It accepts every policy that `policy check` accepts. Rules over several fields are `policy check`'s alone, except those
    that a schema can say: one identity a disk, one of place and volume.
    """
    schema = without_nulls(Policy.model_json_schema())
    schema = {"$schema": URL, **schema, "title": "controlplane storage-placement policy"}
    for key, pattern in _KEYS.items():
        schema["properties"][key]["propertyNames"] = {"pattern": f"^{pattern}$"}
    definitions = schema["$defs"]
    definitions["HostPolicy"]["properties"]["services"]["propertyNames"] = {"pattern": f"^{CONTAINER}$"}
    identities = ["serial", "wwn", "by_id", "by_path", "loop_file", "uuid"]
    definitions["Disk"]["oneOf"] = [{"required": [name]} for name in identities]
    definitions["Auth"]["oneOf"] = [{"required": [name]} for name in ("password_env", "password_file", "vault")]
    for name in ("PostgresService", "MinioService", "RedisService", "FilesService"):
        definitions[name]["oneOf"] = [{"required": ["place"]}, {"required": ["volume"]}]
        definitions[name]["required"] = sorted({*definitions[name]["required"], "kind"})
    return schema


def without_nulls(node: Any) -> Any:
    """Drop null branches (a key is written or left out) and defaults in resolved units, which a file can't hold."""
    if isinstance(node, list):
        return [without_nulls(part) for part in node]
    if not isinstance(node, dict):
        return node
    given = {key: without_nulls(value) for key, value in node.items() if key != "default" or isinstance(value, (bool, str))}
    options = given.get("anyOf")
    if isinstance(options, list):
        kept = [option for option in options if option != {"type": "null"}]
        if len(kept) == 1 and len(options) > 1:
            given.pop("anyOf")
            given = {**kept[0], **given}
    return given
