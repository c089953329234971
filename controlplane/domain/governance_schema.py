"""The JSON Schemas of gates.yml and of the registers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from controlplane.domain.gates.values import SITE, Gates
from controlplane.domain.names import CHECK, HOST, TIER
from controlplane.domain.policy_schema import URL, without_nulls
from controlplane.domain.registers.files import FindingsFile, GapsFile, LoopsFile
from controlplane.domain.registers.values import GAP, LOOP, STOR

File = Literal["gates", "gaps", "loops", "findings"]
_MODELS: dict[File, type[BaseModel]] = {"gates": Gates, "gaps": GapsFile, "loops": LoopsFile, "findings": FindingsFile}
# The keys of mappings, which a schema says by pattern.
_KEYS: dict[File, dict[str, str]] = {
    "gates": {"checks": CHECK, "packs": TIER, "modes": CHECK},
    "gaps": {"gaps": GAP},
    "loops": {"loops": LOOP},
    "findings": {"findings": STOR},
}


def governance_schema(file: File) -> dict[str, Any]:
    """Return the schema of one of these files. Links between them are what 'policy check' and 'gaps status' judge."""
    schema = without_nulls(_MODELS[file].model_json_schema())
    schema = {"$schema": URL, **schema, "title": f"controlplane {'gates' if file == 'gates' else 'registers/' + file}.yml"}
    for key, pattern in _KEYS[file].items():
        schema["properties"][key]["propertyNames"] = {"pattern": f"^{pattern}$"}
    if file == "gates":
        for by_host in schema["properties"]["modes"]["patternProperties"].values():
            by_host["propertyNames"] = {"pattern": f"^{HOST}$", "description": f"A host, or {SITE}"}
    return schema
