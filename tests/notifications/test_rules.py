"""Retries, states, service on paper and addresses, as pure rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.notifications import rules
from credit_service.notifications.rules import (
    LONGEST_DELAY,
    MOST_ATTEMPTS,
    VARIABLES,
    Channel,
    DeliveryState,
    NotificationState,
    ServiceMeans,
    Template,
    Track,
)

NOW = datetime(2026, 5, 6, 2, tzinfo=UTC)
chances = st.floats(min_value=0, max_value=1, exclude_max=True)
instants = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
tracks = st.lists(
    st.builds(Track, st.sampled_from([DeliveryState.SENT, DeliveryState.DELIVERED]), st.none())
    | st.builds(Track, st.just(DeliveryState.FAILED), instants)
)


@given(st.integers(1, MOST_ATTEMPTS), chances)
def test_the_wait_grows_is_bounded_and_is_never_exact(attempts: int, chance: float) -> None:
    wait = rules.delay_after(attempts, chance)
    assert timedelta(seconds=48) <= wait <= LONGEST_DELAY * 1.2
    assert rules.delay_after(attempts, 0.5) <= rules.delay_after(attempts + 1, 0.5)
    assert rules.delay_after(attempts, 0.1) < rules.delay_after(attempts, 0.9)


def test_a_carrier_may_be_away_for_a_working_day() -> None:
    assert sum((rules.delay_after(n, 0) for n in range(1, MOST_ATTEMPTS)), timedelta()) > timedelta(hours=9)


@given(tracks)
def test_a_notification_fails_only_when_nobody_took_it_and_nothing_is_left_to_try(found: list[Track]) -> None:
    state, following = rules.settle(found)
    waiting = [track.next_attempt_at for track in found if track.next_attempt_at is not None]
    assert following == (min(waiting) if waiting else None)
    taken = any(track.state is not DeliveryState.FAILED for track in found)
    assert (state is NotificationState.FAILED) == bool(found and not taken and not waiting)
    assert (state is NotificationState.OWED) == bool(not taken and waiting)
    if any(track.state is DeliveryState.DELIVERED for track in found):
        assert state is NotificationState.DELIVERED


@given(st.text(max_size=20), st.text(max_size=40), st.text(max_size=20), st.text(max_size=40))
def test_one_name_for_one_notification(uscc: str, key: str, other_uscc: str, other_key: str) -> None:
    same = (uscc, key) == (other_uscc, other_key)
    if "\n" not in uscc + other_uscc:
        assert (rules.message_id(uscc, key) == rules.message_id(other_uscc, other_key)) == same


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (ServiceMeans.DIRECT, date(2026, 5, 1)),  # 民事诉讼法 art. 88
        (ServiceMeans.LEFT, date(2026, 5, 1)),  # art. 89
        (ServiceMeans.POST, date(2026, 5, 1)),  # art. 91
        (ServiceMeans.PUBLIC, date(2026, 5, 31)),  # art. 95: thirty days
    ],
)
def test_the_day_from_which_service_counts(means: ServiceMeans, expected: date) -> None:
    assert rules.deemed_served_on(means, date(2026, 5, 1)) == expected


GOOD = [
    (Channel.EMAIL, "credit+notices@mail.example.cn"),
    (Channel.SMS, "+8613800138000"),
    (Channel.WEBHOOK, "https://hooks.example.cn:8443/credit?team=1"),
    (Channel.WEBHOOK, "http://127.0.0.1:8000/hook"),
    (Channel.INBOX, ""),
]
BAD = [
    (Channel.EMAIL, "nobody"),
    (Channel.EMAIL, "a@b"),
    (Channel.EMAIL, "a@example.cn\r\nBcc: b@example.cn"),
    (Channel.EMAIL, "a@example.cn, b@example.cn"),
    (Channel.EMAIL, "a" * 300 + "@example.cn"),
    (Channel.SMS, "13800138000"),
    (Channel.SMS, "+86138\x00"),
    (Channel.WEBHOOK, "http://hooks.example.cn/"),
    (Channel.WEBHOOK, "https://user:secret@hooks.example.cn/"),
    (Channel.WEBHOOK, "https://hooks.example.cn/#part"),
    (Channel.WEBHOOK, "https://hooks.example.cn:99999/"),
    (Channel.WEBHOOK, "https://[::1/"),
    (Channel.WEBHOOK, "https:///path"),
    (Channel.WEBHOOK, "https://hooks.example.cn/a b"),
    (Channel.WEBHOOK, "ftp://hooks.example.cn/"),
    (Channel.INBOX, "somewhere"),
]


@pytest.mark.parametrize(("channel", "address"), GOOD)
def test_good_addresses(channel: Channel, address: str) -> None:
    assert rules.check_address(channel, address, "/address") == []


@pytest.mark.parametrize(("channel", "address"), BAD)
def test_bad_addresses(channel: Channel, address: str) -> None:
    (error,) = rules.check_address(channel, address, "/address")
    assert error.pointer == "/address"
    assert error.detail == ""


@given(st.sampled_from(Channel), st.text(max_size=60))
def test_any_text_is_judged(channel: Channel, address: str) -> None:
    for error in rules.check_address(channel, address, "/a"):
        assert address not in error.rule or len(address) < 3


def test_every_template_declares_its_variables() -> None:
    assert set(VARIABLES) == set(Template)
