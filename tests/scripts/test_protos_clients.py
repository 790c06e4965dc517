"""What clients get: the released wheel, and sources for other languages."""

import os
import site
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorResponse
from packaging.requirements import Requirement

from scripts.support.failures import SetupError
from scripts.support.protos.clients import generate_java
from scripts.support.protos.folder import Contracts, read_contracts
from shared.config import CHECKOUT

CALL = """
from grpc import insecure_channel
from shop.order.v1 import events_pb2
from shop.product.v1 import product_pb2, product_pb2_grpc

stub = product_pb2_grpc.ProductServiceStub(insecure_channel("127.0.0.1:9"))
event = events_pb2.OrderPlaced.FromString(events_pb2.OrderPlaced(order={"order_id": "a"}).SerializeToString())
print(event.order.order_id, product_pb2.__file__)
"""
STUB = "shop/product/v1/ProductServiceGrpc.java"


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return read_contracts(CHECKOUT / "protos")


@pytest.fixture(scope="module")
def unpacked(contracts: Contracts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released wheel, where pip would put it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(contracts.wheel(contracts.version)) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_wheel_needs_nothing_but_grpc_and_protobuf(contracts: Contracts, unpacked: Path) -> None:
    (path,) = unpacked.glob("*.dist-info/METADATA")
    metadata = message_from_bytes(path.read_bytes())
    assert (metadata["Name"], metadata["Version"]) == (contracts.package, contracts.version)
    needed = [Requirement(each).name for each in metadata.get_all("Requires-Dist", [])]
    assert sorted(needed) == ["grpcio", "protobuf"]


def test_the_wheel_serves_a_python_client(unpacked: Path) -> None:
    paths = [str(unpacked), *site.getsitepackages()]
    code = f"import sys; sys.path[:0] = {paths}\n{CALL}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    assert done.stdout == f"a {unpacked}/shop/product/v1/product_pb2.py\n"


def test_the_wheel_has_types_and_where_there_are_services_stubs(unpacked: Path) -> None:
    assert (unpacked / "shop" / "py.typed").exists()
    assert (unpacked / "shop/common/v1/money_pb2.py").exists()
    assert all(path.with_suffix(".pyi").exists() for path in unpacked.rglob("*_pb2*.py"))
    stubs = {path.parent.parent.name for path in unpacked.rglob("*_pb2_grpc.py")}
    assert stubs >= {"chat", "inventory", "order", "payment", "product"}
    assert "common" not in stubs
    assert not list(unpacked.rglob("events_pb2_grpc.py"))


def test_without_maven_java_gets_its_messages(
    contracts: Contracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not generate_java(contracts, tmp_path)
    product = (tmp_path / "shop/product/v1/ProductOuterClass.java").read_text()
    assert "class Product extends" in product
    assert "class GetProductsRequest extends" in product
    assert "class OrderPlaced extends" in (tmp_path / "shop/order/v1/Events.java").read_text()
    assert not (tmp_path / STUB).exists()


def test_with_maven_java_gets_its_stubs(
    contracts: Contracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maven is played by a script that hands out a generator of one file."""
    response = CodeGeneratorResponse(file=[CodeGeneratorResponse.File(name=STUB, content="// a stub\n")])
    (tmp_path / "response").write_bytes(response.SerializeToString())
    generator = f'#!/bin/sh\ncat >/dev/null\ncat "{tmp_path}/response"\n'
    play_maven(tmp_path, monkeypatch, f"cat >protoc-gen-grpc-java-1.exe <<'END'\n{generator}END\n")
    assert generate_java(contracts, tmp_path)
    assert (tmp_path / STUB).read_text() == "// a stub\n"
    assert (tmp_path / "shop/product/v1/ProductOuterClass.java").exists()
    assert "io.grpc:protoc-gen-grpc-java:" in (tmp_path / "asked").read_text()


def test_a_maven_without_network_is_one_error(
    contracts: Contracts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play_maven(tmp_path, monkeypatch, "echo '[ERROR] nobody answers'; exit 1\n")
    with pytest.raises(SetupError, match=r"messages are made, stubs are not: .*nobody answers"):
        generate_java(contracts, tmp_path)


def play_maven(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    programs = folder / "programs"
    programs.mkdir()
    (programs / "mvn").write_text(f'#!/bin/sh\necho "$@" >"{folder}/asked"\n{script}')
    (programs / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.defpath}")
