"""Rates, cuts and a store out of reach: each holds as long as any fault wants it."""

from folkmoot.testing.weather import Weather


def test_a_rate_of_one_always_strikes_and_of_none_never() -> None:
    weather = Weather(1)
    assert not weather.strikes("lose")
    weather.rate("lose", 1.0)
    assert weather.strikes("lose")
    weather.end_rate("lose", 1.0)
    assert not weather.strikes("lose")
    assert weather.counts == {"lose": 1}


def test_a_cut_has_a_direction_and_lasts_as_long_as_any_fault_keeps_it() -> None:
    weather = Weather(1)
    weather.cut([("a", "b")], 1)
    weather.cut([("a", "b")], 1)
    assert weather.is_cut("a", "b")
    assert not weather.is_cut("b", "a")
    weather.cut([("a", "b")], -1)
    assert weather.is_cut("a", "b")
    weather.clear()
    assert not weather.is_cut("a", "b")


def test_a_bus_is_out_of_reach_for_what_goes_by_the_bus_only() -> None:
    weather = Weather(1)
    weather.bus_away("router-1", 1)
    assert weather.is_bus_cut("router-1", "gateway-1")
    assert weather.is_bus_cut("gateway-1", "router-1")
    assert not weather.is_cut("router-1", "gateway-1")
    weather.bus_away("", 1)
    weather.bus_away("router-1", -1)
    assert weather.is_bus_cut("gateway-1", "delivery-1")


def test_a_store_is_out_of_reach_for_one_or_for_all() -> None:
    weather = Weather(1)
    weather.store_away("router-1", 1)
    assert weather.is_store_away("router-1")
    assert not weather.is_store_away("router-2")
    weather.store_away("", 1)
    weather.store_away("router-1", -1)
    assert weather.is_store_away("router-1")


def test_the_same_seed_has_the_same_weather() -> None:
    assert [Weather(7).latency_s() for _ in range(3)] == [Weather(7).latency_s() for _ in range(3)]
