"""Python sources from contracts: messages, stubs for services, and types for both."""

import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from scripts.support.protos.folder import Contracts
from scripts.support.protos.tools import PLUGINS, plugin, protoc

INIT = '"""Generated from the contracts."""\n'
PLUGIN_OPTIONS = [plugin(name) for name in PLUGINS]


def generate_python(contracts: Contracts, into: Path) -> None:
    """Write a typed package into `into`, which exists. Only files that define a service get a *_pb2_grpc."""
    into = into.resolve()
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "described"
        outputs = [f"--python_out={into}", f"--mypy_out=quiet:{into}", f"--descriptor_set_out={described}"]
        protoc([*PLUGIN_OPTIONS, *outputs, *contracts.sources], contracts.folder)
        files = FileDescriptorSet.FromString(described.read_bytes()).file
    if serving := [file.name for file in files if file.service]:
        outputs = [f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}"]
        protoc([*PLUGIN_OPTIONS, *outputs, *serving], contracts.folder)
    _make_packages(into / contracts.module)


def _make_packages(top: Path) -> None:
    for folder in (top, *(path for path in top.rglob("*") if path.is_dir())):
        (folder / "__init__.py").write_text(INIT)
    (top / "py.typed").touch()
