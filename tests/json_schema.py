"""Whether a value fits a JSON schema: as much of it as the schemas here use. A keyword that is not known is an error."""

import re

TYPES = {"string": str, "object": dict, "array": list, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}
TOLD = {"$schema", "$defs", "title", "description"}


def problems(value, schema, whole=None, place="$"):
    """What does not fit, each with its place."""
    whole = whole or schema
    if "$ref" in schema:
        yield from problems(value, whole["$defs"][schema["$ref"].removeprefix("#/$defs/")], whole, place)
        return
    for keyword, expected in schema.items():
        if keyword == "type":
            names = [expected] if isinstance(expected, str) else expected
            is_one = lambda name: isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
            if not any(is_one(name) for name in names):
                yield f"{place}: expected {names}, found {value!r:.80}"
        elif keyword == "const":
            if value != expected:
                yield f"{place}: expected {expected!r}, found {value!r:.80}"
        elif keyword == "enum":
            if value not in expected:
                yield f"{place}: expected one of {expected}, found {value!r:.80}"
        elif keyword == "pattern":
            if isinstance(value, str) and not re.search(expected, value):
                yield f"{place}: expected {expected}, found {value!r:.80}"
        elif keyword == "required":
            yield from (f"{place}: {name} is missing" for name in expected if name not in value)
        elif keyword == "properties":
            for name in value.keys() & expected.keys():
                yield from problems(value[name], expected[name], whole, f"{place}.{name}")
        elif keyword == "additionalProperties":
            for name in value.keys() - schema.get("properties", {}).keys():
                if expected is False:
                    yield f"{place}: {name} is not expected"
                else:
                    yield from problems(value[name], expected, whole, f"{place}.{name}")
        elif keyword == "items":
            for number, item in enumerate(value):
                yield from problems(item, expected, whole, f"{place}[{number}]")
        elif keyword not in TOLD:
            raise ValueError(f"{place}: {keyword} is a keyword that is not known here")
