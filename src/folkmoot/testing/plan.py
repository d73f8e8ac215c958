"""One simulated run as data: who takes part, what they do when, and which faults come when. It can be cut down."""

import msgspec


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A client on one device. `fresh`, `window`: as the SDK has them. `slow_s`: how long it takes for each batch.

    `token_s`: how long its tokens are good for.
    """

    user: str
    device: str = "phone"
    fresh: str = "join"
    window: int = 6
    slow_s: float = 0.0
    token_s: float = 3_600.0

    @property
    def machine(self) -> str:
        """What the device is called in the run."""
        return f"{self.user}/{self.device}"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a client does: `create`, `say`, `add`, `remove`, `leave`, `join`, `rename`, `role`, `skip`, `read`."""

    at_s: float
    who: str
    what: str
    group: str
    send_id: str = ""
    text: str = ""
    users: tuple[str, ...] = ()
    history: str = "join"
    entry: str = "invite"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: `testing/faults.py` lists the kinds. `rate` is a probability, for those that strike some of many."""

    at_s: float
    kind: str
    target: str = ""
    other: str = ""
    lasts_s: float = 0.0
    rate: float = 0.0
    steps: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run. All that is not here is drawn from `seed`: delays, jitter, the order of processes.

    `heal_s_max`: once all faults are over, everybody has to have everything within so long. `all_own_all`: every router
    and delivery serves every partition; else they are dealt among those who live, by each one's own view of that.
    """

    workload: str
    seed: int
    people: list[Person]
    steps: list[Step]
    faults: list[Fault]
    lasts_s: float
    heal_s_max: float
    gateways: int = 2
    routers: int = 2
    deliveries: int = 2
    announce_interval_s: float = 120.0
    sweep_interval_s: float = 300.0
    all_own_all: bool = True


def small_plan(*, seed: int = 1, says: int = 6, faults: tuple[Fault, ...] = (), heal_s_max: float = 60.0) -> Plan:
    """Two people in one group, saying things in turn over some seconds: to try one part of a world."""
    people = [Person(user="user-1"), Person(user="user-2")]
    create = Step(at_s=0.05, who="user-1/phone", what="create", group="g", send_id="make", users=("user-2",))
    steps = [create]
    for number in range(says):
        user = f"user-{number % 2 + 1}"
        steps.append(
            Step(
                at_s=0.5 + number / 2,
                who=f"{user}/phone",
                what="say",
                group="g",
                send_id=f"s{number}",
                text=f"number {number}",
            )
        )
    return Plan(
        workload="small",
        seed=seed,
        people=people,
        steps=steps,
        faults=list(faults),
        lasts_s=1.0 + says / 2,
        heal_s_max=heal_s_max,
    )
