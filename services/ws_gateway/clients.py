"""The chat service over gRPC: messages ↔ domain."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from shop.chat.v1.chat_pb2 import GetRoomHeadsRequest, ListMessagesRequest, PostMessageRequest
from shop.chat.v1.chat_pb2 import Message as MessageMessage
from shop.chat.v1.chat_pb2_grpc import ChatServiceStub

from services.ws_gateway.domain.chat import History, Message, Who
from shared import context
from shared.context import Principal
from shared.rpc.channel import Channel


class RemoteChat:
    """The domain's Chat."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._chat = ChatServiceStub(channel.raw)

    async def post(self, who: Who, room_id: str, key: str, text: str) -> int:
        """The contract calls it idempotent, so it is tried again while chat restarts."""
        request = PostMessageRequest(room_id=room_id, key=key, text=text, display_name=who.display_name)
        with _in_the_name_of(who):
            answer = await self._channel.call(self._chat.PostMessage, request)
        return answer.message.seq

    async def messages(self, who: Who, room_id: str, after: int, limit: int) -> History:
        """As Chat says."""
        request = ListMessagesRequest(room_id=room_id, after=after, limit=limit)
        with _in_the_name_of(who):
            answer = await self._channel.call(self._chat.ListMessages, request)
        return History([read_message(each) for each in answer.messages], answer.head)

    async def heads(self, who: Who, room_ids: Sequence[str]) -> Mapping[str, int]:
        """As Chat says."""
        with _in_the_name_of(who):
            answer = await self._channel.call(self._chat.GetRoomHeads, GetRoomHeadsRequest(room_ids=room_ids))
        return {head.room_id: head.seq for head in answer.heads}


def read_message(message: MessageMessage) -> Message:
    """A message of the contract as we know it; nothing has been checked."""
    return Message(
        message.room_id,
        message.seq,
        message.user_id,
        message.display_name,
        message.text,
        message.at.ToJsonString(),
        message.deleted,
    )


@contextmanager
def _in_the_name_of(who: Who) -> Iterator[None]:
    principal = Principal(who.user_id, who.session_id, who.token_id, roles=who.roles)
    before = context.principal.set(principal)
    try:
        yield
    finally:
        context.principal.reset(before)
