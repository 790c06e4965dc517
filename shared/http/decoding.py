"""From JSON bodies to typed values, naming every bad field at once (RFC 9457's `errors` member)."""

from typing import Any, TypeVar

import msgspec

from shared.errors import FieldError, Invalid, Malformed
from shared.http.messages import Request
from shared.http.problems import HTTPError

T = TypeVar("T", bound=msgspec.Struct)

JSON_LIMIT_BYTES = 1_048_576  # far above any document of ours, far below what would hurt


async def read_json(request: Request, type_: type[T]) -> T:
    """The request's body as a `type_`.

    Raises HTTPError 415 for another media type, Malformed for broken JSON, Invalid naming every bad field.
    """
    media_type = (request.headers.get("content-type") or "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise HTTPError(415, "The body must be application/json.", [("Accept", "application/json")])
    try:
        document = msgspec.json.decode(await request.body.read(JSON_LIMIT_BYTES))
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise Malformed("The body is not valid JSON.") from broken
    errors: list[FieldError] = []
    value = _convert(document, type_, "", errors)
    if errors or value is None:
        raise Invalid("Some fields are not acceptable.", tuple(errors))
    return value


def _convert(document: Any, type_: type[T], path: str, errors: list[FieldError]) -> T | None:
    """Field by field, because msgspec alone stops at the first fault; nested structs likewise."""
    if not isinstance(document, dict):
        errors.append(FieldError(path or "(body)", "Expected `object`"))
        return None
    before = len(errors)
    values: dict[str, Any] = {}
    for each in msgspec.structs.fields(type_):
        at = f"{path}.{each.encode_name}" if path else each.encode_name
        if each.encode_name not in document:
            if each.required:
                errors.append(FieldError(at, "Field is required"))
        elif isinstance(each.type, type) and issubclass(each.type, msgspec.Struct):
            values[each.name] = _convert(document[each.encode_name], each.type, at, errors)
        else:
            try:
                values[each.name] = msgspec.convert(document[each.encode_name], each.type)
            except msgspec.ValidationError as wrong:
                errors.append(_field_error(at, wrong))
    if type_.__struct_config__.forbid_unknown_fields:
        known = {each.encode_name for each in msgspec.structs.fields(type_)}
        errors += [
            FieldError(f"{path}.{name}" if path else name, "Unknown field")
            for name in document
            if name not in known
        ]
    return type_(**values) if len(errors) == before else None


def _field_error(path: str, wrong: msgspec.ValidationError) -> FieldError:
    detail, _, inner = str(wrong).partition(" - at `$")
    return FieldError(path + inner.rstrip("`"), detail)
