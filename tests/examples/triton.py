"""Triton's model configuration read by protobuf's own text format.

The fields and types that examples use, as `model_config.proto` of the Triton Inference Server has them; an unknown field, a
wrong type or a malformed file is a ParseError. Their numbers are of no account in text.
"""

from __future__ import annotations

from typing import Any


def parse_config(text: str) -> Any:
    """The `ModelConfig` of a `config.pbtxt`; data types as their names."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="config.proto", package="inference", syntax="proto3")
    kinds = file.enum_type.add(name="DataType")
    for number, name in enumerate(("TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32")):
        kinds.value.add(name=name, number=number)
    for name in ("ModelInput", "ModelOutput"):
        tensor = file.message_type.add(name=name)
        tensor.field.add(name="name", number=1, type=field.TYPE_STRING, label=1)
        tensor.field.add(name="data_type", number=2, type=field.TYPE_ENUM, type_name=".inference.DataType", label=1)
        tensor.field.add(name="dims", number=3, type=field.TYPE_INT64, label=3)
    config = file.message_type.add(name="ModelConfig")
    config.field.add(name="name", number=1, type=field.TYPE_STRING, label=1)
    config.field.add(name="backend", number=2, type=field.TYPE_STRING, label=1)
    config.field.add(name="max_batch_size", number=3, type=field.TYPE_INT32, label=1)
    for number, (name, kind) in enumerate((("input", "ModelInput"), ("output", "ModelOutput")), 4):
        config.field.add(name=name, number=number, type=field.TYPE_MESSAGE, type_name=f".inference.{kind}", label=3)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = text_format.Parse(
        text, message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))(), descriptor_pool=pool
    )
    return _Named(found, pool.FindEnumTypeByName("inference.DataType").values_by_number)


class _Named:
    """A configuration whose data types are names."""

    def __init__(self, config: Any, names: Any) -> None:
        self.name, self.backend, self.max_batch_size = config.name, config.backend, config.max_batch_size
        self.input, self.output = ([_Tensor(t, names) for t in side] for side in (config.input, config.output))


class _Tensor:
    def __init__(self, tensor: Any, names: Any) -> None:
        self.name, self.dims, self.data_type = tensor.name, tensor.dims, names[tensor.data_type].name
