"""The Sparkplug B payload (Eclipse Sparkplug 3.0, chapter 6) as protobuf messages, described here.

Only the wire format is fixed by the specification: field numbers and types. Describing it in code
keeps protoc and generated files out of the project; fields we do not name are skipped by protobuf.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "u32": _Field.TYPE_UINT32,
    "u64": _Field.TYPE_UINT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
    "text": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
#: Message -> fields (name, number, type or message, repeated, member of the oneof `value`).
_MESSAGES: dict[str, list[tuple[str, int, str, bool, bool]]] = {
    "Opaque": [],  # DataSet and Template: their presence matters, not what they hold
    "PropertyValue": [
        ("type", 1, "u32", False, False),
        ("is_null", 2, "bool", False, False),
        ("int_value", 3, "u32", False, True),
        ("long_value", 4, "u64", False, True),
        ("float_value", 5, "float", False, True),
        ("double_value", 6, "double", False, True),
        ("boolean_value", 7, "bool", False, True),
        ("string_value", 8, "text", False, True),
    ],
    "PropertySet": [
        ("keys", 1, "text", True, False),
        ("values", 2, "PropertyValue", True, False),
    ],
    "Metric": [
        ("name", 1, "text", False, False),
        ("alias", 2, "u64", False, False),
        ("timestamp", 3, "u64", False, False),
        ("datatype", 4, "u32", False, False),
        ("is_historical", 5, "bool", False, False),
        ("is_transient", 6, "bool", False, False),
        ("is_null", 7, "bool", False, False),
        ("properties", 9, "PropertySet", False, False),
        ("int_value", 10, "u32", False, True),
        ("long_value", 11, "u64", False, True),
        ("float_value", 12, "float", False, True),
        ("double_value", 13, "double", False, True),
        ("boolean_value", 14, "bool", False, True),
        ("string_value", 15, "text", False, True),
        ("bytes_value", 16, "bytes", False, True),
        ("dataset_value", 17, "Opaque", False, True),
        ("template_value", 18, "Opaque", False, True),
    ],
    "Payload": [
        ("timestamp", 1, "u64", False, False),
        ("metrics", 2, "Metric", True, False),
        ("seq", 3, "u64", False, False),
        ("uuid", 4, "text", False, False),
        ("body", 5, "bytes", False, False),
    ],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="vigie/sparkplug_b.proto", package="vigie.sparkplug_b", syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any(member for *_, member in fields):
            message.oneof_decl.add(name="value")
        for field_name, number, kind, repeated, member in fields:
            field = message.field.add(
                name=field_name,
                number=number,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
                type=_TYPES.get(kind, _Field.TYPE_MESSAGE),
            )
            if kind not in _TYPES:
                field.type_name = f".{file.package}.{kind}"
            if member:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
        for name in _MESSAGES
    }


#: The message class; `Payload.FromString(bytes)` parses, `Payload().metrics.add()` builds.
Payload: Any = _classes()["Payload"]
