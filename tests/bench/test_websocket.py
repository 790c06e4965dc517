"""The parts of the benchmark that need no whole system, with small numbers; and how its clients count."""

from pathlib import Path

import pytest

from bench import websocket_room
from bench.websocket_echo import measure_echo
from bench.websocket_idle import measure_idle
from bench.websocket_load import Plan
from bench.websocket_receiver import frames_in
from bench.websocket_room import Climb, go_up
from bench.websocket_sides import clients, listening_peer
from bench.websocket_speaker import Speaker
from shared.config import Environment
from shared.ids import new_id
from shared.websocket.encoding import Encoded
from tests.shared.auth.valkey import Valkey

MESSAGES = ["", "a" * 125, "b" * 126, "c" * 65_535, "d" * 65_536]


def test_frames_are_found_in_what_a_server_sends() -> None:
    stream = b"".join(Encoded(message).frame(None) for message in MESSAGES)
    found = [(frame.kind, stream[frame.start : frame.stop].decode()) for frame in frames_in(stream)]
    assert found == [(0x81, message) for message in MESSAGES]


@pytest.mark.parametrize("message", MESSAGES[1:])
def test_an_incomplete_frame_is_none_yet(message: str) -> None:
    frame = Encoded(message).frame(None)
    for end in (0, 1, 2, 3, 9, len(frame) - 1):
        assert list(frames_in(frame[:end])) == []
    assert len(list(frames_in(frame + frame[:-1]))) == 1


def test_idle_sockets_and_round_trips(tmp_path: Path) -> None:
    assert "20 idle sockets\n" in measure_idle(tmp_path, 20, [True])
    assert "2 x 300 B" in measure_echo(tmp_path, 0.1, [(True, 2, 300)])


def test_every_message_of_a_room_is_counted_and_timed(
    tmp_path: Path, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_room, "QUIET_BEFORE_SECONDS", 0.1)
    room_id, settings = str(new_id()), {"EVENTS_URL": valkey.url.value}
    with listening_peer(tmp_path, room_id, settings) as peer:
        plan = Plan(port=peer.port, targets=["/"] * 20, compressed=True, first="hello")
        with clients(plan) as load:
            speaker = Speaker(Environment(settings), room_id)
            first, second = go_up(Climb(20, 0.1, [400, 4000]), peer, speaker, load, compressed=True)
    assert (first.got.frames, second.got.frames) == (2 * 20, 20 * 20)
    assert 0 < second.got.median <= second.got.p99 < 10
    assert not second.is_behind
