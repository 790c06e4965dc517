"""`scripts/admin clients`: the resource servers that may introspect and revoke tokens."""

import argparse

from scripts.support.admin.command import Commands
from scripts.support.admin.text import shown, table, time
from scripts.support.admin.tools import Tools


def add_to(commands: Commands) -> None:
    """One group."""
    clients = commands.group("clients", "resource servers that may introspect and revoke tokens", _list)
    clients.add("list", "list all clients, oldest first", _list)
    add = clients.add("add", "add a client and show its secret, this once", _add)
    add.add_argument("name", help="whatever tells people which one it is")
    remove = clients.add("remove", "refuse a client from now on", _remove)
    remove.add_argument("client_id")


async def _list(tools: Tools, arguments: argparse.Namespace) -> None:
    rows = [
        (client.client_id, client.name, time(client.created_at))
        for client in await tools.auth.clients.clients()
    ]
    print(table(("CLIENT", "NAME", "CREATED"), rows))


async def _add(tools: Tools, arguments: argparse.Namespace) -> None:
    credentials = await tools.auth.clients.add(arguments.name)
    print(f"client_id      {credentials.client_id}")
    print(f"client_secret  {credentials.client_secret}")


async def _remove(tools: Tools, arguments: argparse.Namespace) -> None:
    await tools.auth.clients.remove(arguments.client_id)
    print(f"{shown(arguments.client_id)} is refused from now on")
