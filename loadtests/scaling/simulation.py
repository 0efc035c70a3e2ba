"""Simulate up to hundreds of servers behind gateways, with the gateways' own code.

Admission (``service.admission``) and balancing (``service.runtimes.triton.server_choice``) are
those of the service, in virtual time; arrivals and servers are simulated. A server has cores that
each answer one request at a time, in the order in which they came. Requests are for all heads whose
costs were measured, as many for each, and take what was measured. Gateways learn of other gateways'
requests twice a second, as from Triton's metrics::

    python -m loadtests.scaling.simulation
    python -m loadtests.scaling.simulation --servers 64 400 --heads text/sentiment
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rich.table import Table

from loadtests.scaling.sizing import newest_costs
from loadtests.scaling.virtual_time import run
from loadtests.support.measured_gateway import report_parser, write_report
from omnivec2.errors import OverloadedError
from omnivec2.preprocess import preprocessor_type
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily, TensorSpec
from omnivec2.terminal import make_console
from service.admission.admission_control import AdmissionControl
from service.runtimes.triton.server_choice import choose_server
from service.settings import Settings

SERVERS = (1, 4, 16, 64, 128)
LOADS = (0.8, 2.0)
"""The load that arrives, as a share of what all servers can do."""

_SERVERS_PER_GATEWAY = 4
_REPORT_SECONDS = (0.4, 0.7)
_DEADLINE_SECONDS = 2.0
_WARM_UP_SECONDS = 4.0
_BODY_BYTES, _TOKENS = 1000, 40


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    Attributes:
        servers: The number of servers.
        cores: The cores of each.
        load: The load that arrives, as a share of what they can do.
        costs: The seconds of an answer on one core, by head.
        length: The simulated time after the warm-up, in seconds.
    """

    servers: int
    cores: int
    load: float
    costs: Mapping[str, float]
    length: float

    @property
    def capacity(self) -> float:
        """The requests per second that all servers can answer."""
        return self.servers * self.cores / statistics.mean(self.costs.values())

    @property
    def gateways(self) -> int:
        """The number of gateways."""
        return max(1, self.servers // _SERVERS_PER_GATEWAY)


@dataclass(frozen=True)
class Outcome:
    """What was seen after the warm-up.

    Attributes:
        servers: The number of servers.
        gateways: The number of gateways.
        load: The load that arrived, as a share of what the servers can do.
        arrived: The number of requests that arrived.
        refused: The share of them that were refused.
        goodput: The answers within the deadline, as a share of what the servers can do.
        late: The number of admitted requests that were answered after the deadline.
        p50_ms: The median time to an answer, in milliseconds.
        p99_ms: The 99th percentile of it.
        unevenness: The answers of the busiest server, over the mean of all.
    """

    servers: int
    gateways: int
    load: float
    arrived: int
    refused: float
    goodput: float
    late: int
    p50_ms: float
    p99_ms: float
    unevenness: float


class SimulatedServer:
    """A server with a queue before its cores.

    Args:
        cores: The number of its cores.
    """

    def __init__(self, cores: int) -> None:
        self._free = cores
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.answered = 0

    @property
    def pending(self) -> int:
        """The requests that wait for a core, as Triton reports them."""
        return len(self._waiting)

    async def answer(self, seconds: float) -> None:
        """Wait for a core, and compute an answer on it."""
        if self._free:
            self._free -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        await asyncio.sleep(seconds)
        self.answered += 1
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._free += 1


@dataclass(eq=False)
class Link:
    """What one gateway knows of a server; the balancing compares these.

    Attributes:
        server: The server.
        in_flight: The requests of this gateway that are there.
        pending_elsewhere: Those of others that waited there when it last reported; None before.
    """

    server: SimulatedServer
    in_flight: int = 0
    pending_elsewhere: float | None = None


@dataclass
class SimulatedGateway:
    """A gateway with the service's own admission control and balancing.

    Attributes:
        links: The servers.
        admission: The admission control.
        outcomes: The seconds of every answer after the warm-up; None of a request refused.
    """

    links: Sequence[Link]
    admission: AdmissionControl
    outcomes: list[float | None] = field(default_factory=list)

    async def handle(self, spec: HeadSpec, seconds: float) -> None:
        """Admit a request, send it to a server and wait for its answer."""
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        counts = arrived >= _WARM_UP_SECONDS
        try:
            ticket = self.admission.admit([spec], "file", _BODY_BYTES, _DEADLINE_SECONDS)
        except OverloadedError:
            if counts:
                self.outcomes.append(None)
            return
        with ticket:
            ticket.hold_bytes(_BODY_BYTES)
            ticket.begin_work()
            ticket.expect_inputs(1)
            ticket.record_tokens(_TOKENS)
            link = choose_server(self.links, self.links)
            link.in_flight += 1
            await link.server.answer(seconds)
            link.in_flight -= 1
            ticket.record_seconds(loop.time() - arrived)
            ticket.learn()
        if counts:
            self.outcomes.append(loop.time() - arrived)

    async def read_reports(self) -> None:
        """Learn what waits at the servers, about twice a second."""
        while True:
            await asyncio.sleep(random.uniform(*_REPORT_SECONDS))
            for link in self.links:
                link.pending_elsewhere = max(0.0, float(link.server.pending - link.in_flight))


async def simulate(plan: Plan) -> Outcome:
    """Run a plan in the current loop, whose time is virtual, and return what was seen."""
    loop = asyncio.get_running_loop()
    settings = Settings(runtime="triton")
    servers = [SimulatedServer(plan.cores) for _ in range(plan.servers)]
    gateways = [
        SimulatedGateway(
            [Link(server) for server in servers],
            AdmissionControl(
                settings.max_pending_requests,
                settings.max_pending_bytes,
                max_queue_seconds=settings.max_queue_seconds,
                workers=plan.cores,
                clock=loop.time,
            ),
        )
        for _ in range(plan.gateways)
    ]
    heads = [(_spec(route), seconds) for route, seconds in plan.costs.items()]
    reports = [asyncio.create_task(gateway.read_reports()) for gateway in gateways]
    before = [0] * len(servers)
    async with asyncio.TaskGroup() as requests:
        end = _WARM_UP_SECONDS + plan.length
        is_warm = False
        while loop.time() < end:
            await asyncio.sleep(random.expovariate(plan.load * plan.capacity))
            if not is_warm and loop.time() >= _WARM_UP_SECONDS:
                is_warm, before = True, [server.answered for server in servers]
            requests.create_task(random.choice(gateways).handle(*random.choice(heads)))
        answered = [now.answered - then for now, then in zip(servers, before, strict=True)]
    for report in reports:
        report.cancel()
    return _outcome(plan, gateways, answered)


def _outcome(plan: Plan, gateways: Sequence[SimulatedGateway], answered: Sequence[int]) -> Outcome:
    outcomes = [outcome for gateway in gateways for outcome in gateway.outcomes]
    times = sorted(seconds for seconds in outcomes if seconds is not None)
    in_time = sum(seconds <= _DEADLINE_SECONDS for seconds in times)
    return Outcome(
        servers=plan.servers,
        gateways=plan.gateways,
        load=plan.load,
        arrived=len(outcomes),
        refused=round(1 - len(times) / len(outcomes), 4),
        goodput=round(in_time / plan.length / plan.capacity, 3),
        late=len(times) - in_time,
        p50_ms=round(1000 * times[len(times) // 2], 1),
        p99_ms=round(1000 * times[int(len(times) * 0.99)], 1),
        unevenness=round(max(answered) / statistics.mean(answered), 3),
    )


def _spec(route: str) -> HeadSpec:
    """Return a head with inputs of one size; only its name and its sizes matter here."""
    kind = preprocessor_type(Modality.IMAGE)
    return HeadSpec(
        modality=Modality.IMAGE,
        task=route.replace("/", "_"),
        family=TaskFamily.CLASSIFICATION,
        description="A head whose answers are simulated.",
        inputs=kind(kind.parameters_type()).inputs,
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(2,)),),
        labels=("a", "b"),
        preprocess=PreprocessSpec(name=Modality.IMAGE, version=kind.version, parameters={}),
        limits=kind.default_limits,
        network="simulated",
    )


def main() -> int:
    """Run all plans, print a table and write a report."""
    parser = report_parser(__doc__)
    parser.add_argument("--servers", nargs="+", type=int, default=SERVERS)
    parser.add_argument("--loads", nargs="+", type=float, default=LOADS)
    parser.add_argument("--cores", type=int, default=2, help="cores of a server")
    parser.add_argument("--heads", nargs="+", help="heads; by default all that were measured")
    parser.add_argument("--seconds", type=float, default=2.0, help="simulated time of each")
    options = parser.parse_args()
    path, report = newest_costs()
    costs = {
        head["route"]: head["batched_ms"] / 1000
        for head in report["heads"]
        if not options.heads or head["route"] in options.heads
    }
    console = make_console()
    table = Table(
        "servers", "gateways", "load", "refused", "goodput", "late", "p50", "p99", "uneven"
    )
    outcomes = []
    for count in options.servers:
        for load in options.loads:
            random.seed(count)
            plan = Plan(
                servers=count,
                cores=options.cores,
                load=load,
                costs=costs,
                length=options.seconds,
            )
            console.print(f"{count} servers at {load:g} x ...")
            outcome = run(simulate(plan))
            outcomes.append(asdict(outcome))
            table.add_row(
                *(str(outcome.servers), str(outcome.gateways), f"{load:g} x"),
                *(f"{outcome.refused:.1%}", f"{outcome.goodput:.1%}", str(outcome.late)),
                *(f"{outcome.p50_ms:.0f} ms", f"{outcome.p99_ms:.0f} ms"),
                f"{outcome.unevenness:.2f}",
            )
    console.print(table)
    content = {
        "what": "simulation",
        "heads": sorted(costs),
        "costs": path.name,
        "cores": options.cores,
        "outcomes": outcomes,
    }
    console.print(f"wrote {write_report(options.reports, 'simulation', content)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
