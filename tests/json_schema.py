"""As much of JSON Schema as `weir config schema` uses; a word that is not known here is a failure, so that nothing goes unchecked."""
import re


def is_type(value, name):
    if name == "object":
        return isinstance(value, dict)
    if name == "array":
        return isinstance(value, list)
    if name == "string":
        return isinstance(value, str)
    if name == "boolean":
        return isinstance(value, bool)
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    raise ValueError(f"type {name}")


def search(pattern, text):
    return re.search(pattern, text) is not None


RULES = {
    "type": lambda v, s, path: is_type(v, s) or f"{path}: no {s}",
    "const": lambda v, s, path: v == s or f"{path}: not {s}",
    "enum": lambda v, s, path: v in s or f"{path}: none of {s}",
    "pattern": lambda v, s, path: not isinstance(v, str) or search(s, v) or f"{path}: does not match {s}",
    "minLength": lambda v, s, path: not isinstance(v, str) or len(v) >= s or f"{path}: shorter than {s}",
    "minimum": lambda v, s, path: not is_type(v, "number") or v >= s or f"{path}: below {s}",
    "maximum": lambda v, s, path: not is_type(v, "number") or v <= s or f"{path}: above {s}",
    "minItems": lambda v, s, path: not isinstance(v, list) or len(v) >= s or f"{path}: fewer than {s}",
    "maxItems": lambda v, s, path: not isinstance(v, list) or len(v) <= s or f"{path}: more than {s}",
    "minProperties": lambda v, s, path: not isinstance(v, dict) or len(v) >= s or f"{path}: fewer than {s}",
    "maxProperties": lambda v, s, path: not isinstance(v, dict) or len(v) <= s or f"{path}: more than {s}",
    "required": lambda v, s, path: not isinstance(v, dict) or all(n in v for n in s) or f"{path}: one of {s} is missing",
}
NOTES = {"$schema", "title", "description", "default"}


def mistakes(value, schema, path="$"):
    """The list of what is wrong with the value."""
    found = []
    for word, setting in schema.items():
        if word in RULES:
            result = RULES[word](value, setting, path)
            found += [result] if result is not True else []
        elif word == "anyOf":
            if not any(not mistakes(value, s, path) for s in setting):
                found.append(f"{path}: fits none")
        elif word == "oneOf":
            tried = [mistakes(value, s, path) for s in setting]
            if sum(not t for t in tried) != 1:
                found.append(f"{path}: fits {sum(not t for t in tried)} instead of one: {min(tried, key=len)}")
        elif word == "items":
            for i, v in enumerate(value if isinstance(value, list) else []):
                found += mistakes(v, setting, f"{path}[{i}]")
        elif word == "propertyNames":
            for name in value if isinstance(value, dict) else []:
                found += mistakes(name, setting, f"{path}.{name}")
        elif word in ("properties", "additionalProperties"):
            pass # below
        elif word not in NOTES:
            raise ValueError(f"{path}: the test does not know the word {word}")
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name, v in value.items() if isinstance(value, dict) else []:
        if name in known:
            found += mistakes(v, known[name], f"{path}.{name}")
        elif others is False:
            found.append(f"{path}.{name}: not known")
        elif others is not True:
            found += mistakes(v, others, f"{path}.{name}")
    return found
