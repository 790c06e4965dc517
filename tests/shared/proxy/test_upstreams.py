from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.proxy.upstreams import LONGEST_EJECTION_SECONDS, Target, Upstream


def test_one_target_is_always_chosen_whatever_happened() -> None:
    upstream = Upstream("product", ["http://a:1"])
    (only,) = upstream.targets
    only.failed(0.0)
    assert upstream.choose(0.1) is only
    assert upstream.choose(0.1, [only]) is None


def test_equals_take_turns() -> None:
    upstream = Upstream("product", ["http://a:1", "http://b:1", "http://c:1"])
    chosen = [upstream.choose(0.0) for _ in range(6)]
    assert set(chosen[:3]) == set(upstream.targets)
    assert chosen[:3] == chosen[3:]


def test_the_least_busy_comes_first() -> None:
    upstream = Upstream("product", ["http://a:1", "http://b:1"])
    a, b = upstream.targets
    a.in_flight = 2
    assert [upstream.choose(0.0) for _ in range(3)] == [b, b, b]


def test_one_dead_of_two_gets_one_request_each_time_its_ejection_ends() -> None:
    upstream = Upstream("product", ["http://dead:1", "http://alive:1"])
    dead, alive = upstream.targets
    tries = 0
    for tenth in range(600):
        chosen = upstream.choose(tenth / 10)
        if chosen is dead:
            tries += 1
            dead.failed(tenth / 10)
            assert upstream.choose(tenth / 10, [dead]) is alive
    assert tries <= 7  # after 1, 2, 4, 8, 16, 30 seconds


def test_while_one_request_tries_it_the_others_go_elsewhere() -> None:
    upstream = Upstream("product", ["http://back:1", "http://alive:1"])
    back, alive = upstream.targets
    alive.in_flight = 1
    back.failed(0.0)
    assert upstream.choose(0.5) is alive
    assert upstream.choose(1.5) is back
    assert upstream.choose(1.6) is alive
    back.answered()
    assert upstream.choose(1.7) is back


def test_when_all_are_ejected_the_first_to_come_back_is_tried() -> None:
    upstream = Upstream("product", ["http://a:1", "http://b:1"])
    a, b = upstream.targets
    a.failed(0.5)
    b.failed(0.0)
    assert upstream.choose(0.6) is b
    assert upstream.choose(0.6, [b]) is a
    assert upstream.choose(0.6, [a, b]) is None


def test_a_useful_repr() -> None:
    assert repr(Target("http://a:1")) == "<Target http://a:1 in_flight=0 ejected_until=0>"


class Balancing(RuleBasedStateMachine):
    """Whatever fails and recovers: someone is always chosen, and a healthy one if there is any."""

    def __init__(self) -> None:
        super().__init__()
        self.upstream = Upstream("u", ["http://a:1", "http://b:1", "http://c:1"])
        self.alive = dict.fromkeys(self.upstream.targets, True)
        self.busy: list[Target] = []
        self.now = 0.0

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(index=st.integers(0, 2), alive=st.booleans())
    def flip(self, index: int, alive: bool) -> None:
        self.alive[self.upstream.targets[index]] = alive

    @rule()
    def request(self) -> None:
        tried: list[Target] = []
        while (chosen := self.upstream.choose(self.now, tried)) is not None:
            assert chosen not in tried
            if self.alive[chosen]:
                chosen.answered()
                chosen.in_flight += 1
                self.busy.append(chosen)
                break
            chosen.failed(self.now)
            tried.append(chosen)
        assert (chosen is not None) == any(self.alive.values())

    @precondition(lambda self: self.busy)
    @rule()
    def finish(self) -> None:
        self.busy.pop().in_flight -= 1

    @invariant()
    def ejections_end(self) -> None:
        assert all(t.ejected_until <= self.now + LONGEST_EJECTION_SECONDS for t in self.upstream.targets)


TestBalancing = Balancing.TestCase
