from scripts.support.free_ports import BASE_STEP, HIGHEST_BASE, LOWEST_BASE, free_port_base


def test_nobody_is_given_what_somebody_has_just_chosen() -> None:
    """Though none of them listens there yet."""
    chosen = [free_port_base() for _ in range(20)]
    assert len(set(chosen)) == len(chosen)
    assert all(base in range(LOWEST_BASE, HIGHEST_BASE, BASE_STEP) for base in chosen)
