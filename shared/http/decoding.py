"""From paths, queries and JSON bodies to typed values; every bad field is named at once (RFC 9457, `errors`).

A struct says which fields there are and of which type. What else a field must obey is said by its rule: a
function from the domain that returns what is wrong with a value, or None. Rules are looked up by the field's
dotted path (`items[].quantity` for every item of a list), so that wrong types and broken rules are reported
together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from shared.errors import FieldError, Invalid, Malformed, NotFound
from shared.http.messages import Request
from shared.http.problems import HTTPError
from shared.ids import parse_id
from shared.rules import rule_of

T = TypeVar("T", bound=msgspec.Struct)
Rules = Mapping[str, Callable[[Any], str | None]]

JSON_LIMIT_BYTES = 1_048_576  # far above any document of ours, far below what would hurt
MAX_ERRORS = 50  # named in one answer: it must not be many times larger than the request
MAX_SHOWN_CHARACTERS = 100  # of a name that is not ours
NO_RULES: Rules = MappingProxyType({})


def path_id(request: Request, parameter: str, missing: str) -> UUID:
    """The identifier in the path. Raises NotFound, saying `missing`, for what cannot be one."""
    identifier = parse_id(request.parameters[parameter])
    if identifier is None:
        raise NotFound(missing)
    return identifier


async def read_json(request: Request, type_: type[T], rules: Rules = NO_RULES) -> T:
    """The request's body as a `type_` that obeys `rules`.

    Raises HTTPError 415 for another media type, Malformed for broken JSON, Invalid naming every bad field.
    """
    media_type = (request.headers.get("content-type") or "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise HTTPError(415, "The body must be application/json.", [("Accept", "application/json")])
    try:
        document = msgspec.json.decode(await request.body.read(JSON_LIMIT_BYTES))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise Malformed("The body is not valid JSON, or too deeply nested.") from broken
    return _Conversion(rules).convert(document, type_)


def read_query(request: Request, type_: type[T], rules: Rules = NO_RULES) -> T:
    """The query's parameters as a `type_` that obeys `rules`; numbers are read from their digits.

    Raises Malformed when it is not percent-encoded UTF-8, Invalid naming every bad parameter.
    """
    try:
        pairs = parse_qsl(request.target.partition("?")[2], keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as broken:
        raise Malformed("The query is not percent-encoded UTF-8.") from broken
    return _Conversion(rules, strict=False).convert(dict(pairs), type_)


@dataclass(slots=True)
class _Conversion:
    """Goes field by field, because msgspec alone stops at the first fault."""

    rules: Rules
    strict: bool = True  # False reads numbers from text
    errors: list[FieldError] = field(default_factory=list)

    def convert(self, document: Any, type_: type[T]) -> T:
        value = self._struct(document, type_, "")
        if self.errors or value is None:
            raise self._refusal()
        return value

    def _struct(self, document: Any, type_: type[T], path: str) -> T | None:
        if not isinstance(document, dict):
            self._refuse(path or "(body)", "Expected `object`")
            return None
        before = len(self.errors)
        values: dict[str, Any] = {}
        for each in msgspec.structs.fields(type_):
            at = _join(path, each.encode_name)
            if each.encode_name in document:
                values[each.name] = self._field(document[each.encode_name], each.type, at)
            elif each.required:
                self._refuse(at, "Field is required")
        self._refuse_unknown(document, type_, path)
        return type_(**values) if len(self.errors) == before else None

    def _field(self, document: Any, type_: Any, path: str) -> Any:
        if get_origin(type_) is list and (item := _struct_in(type_)) is not None:
            return self._list(document, item, path)
        if (nested := _struct_in(type_)) is not None:
            return self._struct(document, nested, path)
        try:
            value = msgspec.convert(document, type_, strict=self.strict)
        except RecursionError:
            return self._refuse(path, "Too deeply nested")
        except msgspec.ValidationError as wrong:
            detail, _, inner = str(wrong).partition(" - at `$")
            return self._refuse(path + inner.rstrip("`"), detail)
        return self._obey(value, path)

    def _list(self, document: Any, item: type[msgspec.Struct], path: str) -> Any:
        if not isinstance(document, list):
            return self._refuse(path, "Expected `array`")
        before = len(self.errors)
        self._obey(document, path)
        values = [self._struct(each, item, f"{path}[{number}]") for number, each in enumerate(document)]
        return values if len(self.errors) == before else None

    def _obey(self, value: Any, path: str) -> Any:
        rule = rule_of(path, self.rules)
        if rule is not None and (fault := rule(value)) is not None:
            return self._refuse(path, fault)
        return value

    def _refuse_unknown(self, document: dict[str, Any], type_: type[msgspec.Struct], path: str) -> None:
        if type_.__struct_config__.forbid_unknown_fields:
            known = {each.encode_name for each in msgspec.structs.fields(type_)}
            for name in document:
                if name not in known:
                    self._refuse(_join(path, name[:MAX_SHOWN_CHARACTERS]), "Unknown field")

    def _refuse(self, path: str, detail: str) -> None:
        """Goes on to the next field, unless there is enough to tell."""
        self.errors.append(FieldError(path, detail))
        if len(self.errors) == MAX_ERRORS:
            raise self._refusal()

    def _refusal(self) -> Invalid:
        return Invalid("Some fields are not acceptable.", tuple(self.errors))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _struct_in(type_: Any) -> type[msgspec.Struct] | None:
    """The struct that `type_` is, or may be (`Price | UnsetType`); None when it is none."""
    for each in (type_, *get_args(type_)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None
