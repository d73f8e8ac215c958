"""What people ask for: from users and their messages to deliveries a second in the busiest hour."""

from typing import Final

import msgspec

from folkmoot.planner.formula import Step


class Given(msgspec.Struct, frozen=True):
    """One number that whoever plans has to know: its bounds are those of the page's slider, too."""

    name: str
    default: float
    least: float
    most: float
    unit: str
    what: str
    whole: bool = False


USERS: Final = (
    Given("users", 1_000_000, 1, 10e9, "", "Users.", whole=True),
    Given("messages", 20, 0.001, 10_000, "a day", "Messages that a user sends a day."),
    Given("group_size", 130, 1, 1_000_000, "members", "Members that a message goes to."),
    Given("peak_share", 0.10, 0.0001, 1, "of a day", "Share of a day's messages that falls into its peak."),
    Given("peak_hours", 1, 0.01, 24, "hours", "How long the peak lasts."),
    Given("online_share", 1, 0.0001, 1, "of users", "Share of users that is connected in the peak."),
    Given("read_share", 1, 0, 1, "of deliveries", "Share of deliveries that is read at once: each moves a pointer."),
)

DEMAND: Final = (
    Step("messages_per_day", "users * messages", "a day", "messages a day"),
    Step("messages_in_peak", "messages_per_day * peak_share", "in the peak", "messages in the peak"),
    Step("sends_per_s", "messages_in_peak / (peak_hours * 3600)", "a second", "sends a second in the peak"),
    Step("deliveries_per_s", "sends_per_s * group_size", "a second", "deliveries a second, all members connected"),
)

BY_SERVER: Final = (
    Step("servers", "deliveries_per_s / per_server", "servers", "by deliveries that one server makes"),
    Step("servers_whole", "ceil(servers)", "servers", "whole machines"),
)
"""The plain sum: `per_server` is what one machine delivers a second."""
