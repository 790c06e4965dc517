from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.auth.fair_queue import FairQueue

steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from("abc")),
        st.tuples(st.just("pop"), st.none()),
        st.tuples(st.just("discard"), st.sampled_from("abc")),
    ),
    max_size=60,
)


def test_lanes_take_turns() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        assert queue.push(item[0], item) is None
    assert [queue.pop() for _ in range(7)] == ["a1", "b1", "c1", "a2", "c2", "a3", None]


def test_the_longest_lane_gives_up_its_last() -> None:
    queue: FairQueue[str] = FairQueue(3)
    for item in ("a1", "a2", "a3"):
        queue.push("a", item)
    assert queue.push("a", "a4") == "a4"
    assert queue.push("b", "b1") == "a3"
    assert queue.push("b", "b2") == "b2"
    assert [queue.pop() for _ in range(4)] == ["a1", "b1", "a2", None]


@given(steps, st.integers(0, 5))
def test_whatever_is_done_nothing_is_lost_and_every_lane_stays_in_order(
    done: list[tuple[str, str | None]], capacity: int
) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(capacity)
    waiting: dict[str, list[tuple[str, int]]] = {"a": [], "b": [], "c": []}
    for number, (step, lane) in enumerate(done):
        if step == "push":
            assert lane is not None
            waiting[lane].append((lane, number))
            left = queue.push(lane, (lane, number))
            assert (left is not None) == (sum(map(len, waiting.values())) > capacity)
            if left is not None:
                longest = max(map(len, waiting.values()))
                assert len(waiting[left[0]]) == longest
                assert waiting[left[0]].pop() == left
        elif step == "discard" and lane is not None:
            if waiting[lane]:
                queue.discard(lane, waiting[lane].pop(0))
            else:
                queue.discard(lane, (lane, -1))
        elif (first := queue.pop()) is not None:
            assert waiting[first[0]].pop(0) == first
        else:
            assert not any(waiting.values())
        assert len(queue) == sum(map(len, waiting.values())) <= capacity
    served = Counter(item[0] for item in iter(queue.pop, None))
    assert served == {lane: len(items) for lane, items in waiting.items() if items}
