from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from service.runtimes.triton.server_choice import choose_server, own_share


@dataclass
class Server:
    in_flight: int = 0
    pending_elsewhere: float | None = 0.0


def chosen(servers: list[Server], count: int = 600) -> list[int]:
    """How often each server is chosen while nothing changes."""
    times = Counter(id(choose_server(servers, servers)) for _ in range(count))
    return [times[id(server)] for server in servers]


def test_at_equal_load_every_server_is_as_likely() -> None:
    assert all(140 <= times <= 260 for times in chosen([Server(), Server(), Server()]))


def test_the_first_request_of_a_fresh_gateway_goes_anywhere() -> None:
    firsts = {id(choose_server(servers, servers)) for servers in [[Server(), Server()]] * 40}
    assert len(firsts) == 2


def test_of_two_servers_the_less_busy_one_is_chosen() -> None:
    assert chosen([Server(3), Server(2)], 20) == [0, 20]


def test_the_busiest_of_several_servers_is_never_chosen() -> None:
    busiest, *others = chosen([Server(5), Server(1), Server(1)])
    assert busiest == 0
    assert min(others) > 200


def test_requests_of_other_gateways_count() -> None:
    assert chosen([Server(0, 9.0), Server(0, 2.0)], 20) == [0, 20]
    # The own ones are known exactly and count whole, the others by this gateway's share.
    assert chosen([Server(4, 0.0), Server(1, 6.0)], 20) == [0, 20]


def test_a_server_that_reports_nothing_is_compared_by_own_requests() -> None:
    assert chosen([Server(2, None), Server(1, 50.0)], 20) == [0, 20]
    assert min(chosen([Server(0, None), Server(0, 50.0)])) > 200


def test_the_own_share_is_one_divided_by_gateways_that_are_alike() -> None:
    assert own_share([Server(4, 8.0), Server(6, 12.0)]) == 10 / 30
    assert own_share([Server(), Server()]) == 1.0


def test_many_gateways_that_see_the_same_late_figures_do_not_swing_the_load() -> None:
    gateways = [[Server(10), Server(10)] for _ in range(6)]
    gateways[0] = [Server(20), Server(0)]
    for _ in range(30):
        totals = [sum(servers[i].in_flight for servers in gateways) for i in range(2)]
        for servers in gateways:
            for server, total in zip(servers, totals, strict=True):
                server.pending_elsewhere = total - server.in_flight
        for servers in gateways:
            for _ in range(20):  # a full turn of the requests in flight, on the same figures
                leaving = servers[0] if servers[0].in_flight else servers[1]
                if servers[1].in_flight > servers[0].in_flight:
                    leaving = servers[1]
                leaving.in_flight -= 1
                choose_server(servers, servers).in_flight += 1
    totals = [sum(servers[i].in_flight for servers in gateways) for i in range(2)]
    assert abs(totals[0] - totals[1]) <= 0.15 * sum(totals)
