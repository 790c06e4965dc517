"""`./scripts/rpc SERVICE [CALL [MESSAGE]]`: a gRPC call, signed as the operator; or what calls there are."""

import argparse
import asyncio
import importlib
import logging
import re
import sys

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from scripts.support.failures import BAD_SETTING, SetupError, exit_status
from scripts.support.service_names import services_with_database
from scripts.support.settings import read_settings
from shared import context
from shared.callers import OPERATOR, rpc_callers
from shared.config import Environment
from shared.context import Principal
from shared.errors import ApplicationError, Unavailable, in_words
from shared.ids import parse_id
from shared.rpc.channel import Channel


def contract_of(service: str) -> ServiceDescriptor:
    """What `service` answers. Raises SetupError when it answers nothing."""
    callable_services = [name for name in services_with_database() if rpc_callers(name)]
    if service not in callable_services:
        known = ", ".join(callable_services)
        raise SetupError(f"{service!r} answers no gRPC; these do: {known}", BAD_SETTING)
    module = importlib.import_module(f"shop.{service}.v1.{service}_pb2")
    contract: ServiceDescriptor = next(iter(module.DESCRIPTOR.services_by_name.values()))
    return contract


def call_of(contract: ServiceDescriptor, name: str) -> MethodDescriptor:
    """The call of that name. Raises SetupError."""
    if name not in contract.methods_by_name:
        known = ", ".join(contract.methods_by_name)
        raise SetupError(f"{contract.full_name} has no call {name!r}; it has {known}", BAD_SETTING)
    return contract.methods_by_name[name]


def principal_of(user: str, roles: list[str]) -> Principal:
    """In whose name the call is made. Raises SetupError."""
    if roles and not user:
        raise SetupError("--role needs a --user who has it", BAD_SETTING)
    if user and parse_id(user) is None:
        raise SetupError("--user must be a UUID", BAD_SETTING)
    if not all(re.fullmatch(r"[A-Za-z0-9._-]+", role) for role in roles):
        raise SetupError("--role must be one role's name, such as admin", BAD_SETTING)
    return Principal(user, roles=frozenset(roles))


def read_message(call: MethodDescriptor, text: str) -> Message:
    """The call's request out of JSON. Raises SetupError."""
    try:
        return Parse(text, GetMessageClass(call.input_type)())
    except ParseError as bad:
        raise SetupError(f"that is no {call.input_type.name}: {bad}", BAD_SETTING) from bad


async def ask(environment: Environment, service: str, call: MethodDescriptor, request: Message) -> Message:
    """What `service` answers. Raises SetupError with what it says instead."""
    async with Channel.read(environment, OPERATOR, service) as channel:
        method: aio.UnaryUnaryMultiCallable[Message, Message] = channel.raw.unary_unary(
            f"/{call.containing_service.full_name}/{call.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(call.output_type).FromString,
        )
        try:
            return await channel.call(method, request)
        except ApplicationError as failure:
            raise SetupError(_words(failure)) from failure


def _words(failure: ApplicationError) -> str:
    """What the service says; when it says nothing, what gRPC says, for the operator may know addresses."""
    cause = failure.__cause__
    if isinstance(failure, Unavailable) and isinstance(cause, aio.AioRpcError):
        return f"{in_words(failure)}; {cause.code().name}: {cause.details()}"
    return in_words(failure)


def _print_calls(contract: ServiceDescriptor) -> None:
    for call in contract.methods:
        fields = ", ".join(field.name for field in call.input_type.fields)
        print(f"{call.name} {{{fields}}} → {call.output_type.name}")


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog="./scripts/rpc",
        description="Calls a running service over gRPC, signed as the operator. PORT_BASE tells where it is.",
    )
    parser.add_argument("service", help="product, inventory, payment, order …")
    parser.add_argument("call", nargs="?", help="GetProducts, for example; without it, what there is")
    parser.add_argument("message", nargs="?", default="{}", help="the request as JSON")
    parser.add_argument("--user", default="", metavar="ID", help="the user in whose name the call is made")
    parser.add_argument("--role", action="append", default=[], help="a role that this user has: admin")
    arguments = parser.parse_args()
    logging.disable()  # what goes wrong is said once, in the last line
    contract = contract_of(arguments.service)
    if arguments.call is None:
        _print_calls(contract)
        return 0
    call = call_of(contract, arguments.call)
    request = read_message(call, arguments.message)
    context.principal.set(principal_of(arguments.user, arguments.role))
    answer = asyncio.run(ask(read_settings(), arguments.service, call, request))
    print(MessageToJson(answer, ensure_ascii=False, preserving_proto_field_name=True))
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("rpc", _main))
