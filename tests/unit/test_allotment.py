"""The decision, with both sides of every boundary. Amounts are made up; times seldom matter."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headroom.core.domain.instants import to_millis
from headroom.organizations.domain.organization import Limits, Member, Organization, Tier
from headroom.organizations.domain.pool import Pool
from headroom.spending.domain.allotment import (
    SLICE_GROWS_WITHIN_MILLIS,
    SLICE_LASTS_MILLIS,
    Claim,
    Grant,
    Refusal,
    Shortage,
    decide,
    limit_resets_at,
    limit_used,
)
from headroom.spending.domain.budget import Budget, OpenWindow

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NEVER = 10**14

# Nobody but the pool has anything, and nothing expires: its "no" is final.
DRAINED = Pool("2026-11", unallotted=100, funds=1_000, version=1, grants=4, drained_at=4)
DRAINED = replace(DRAINED, expiry_millis=NEVER)
ACME = Organization(
    org_id="org_acme",
    plan="team",
    name="Acme",
    currency="USD",
    time_zone="America/New_York",
    language="en",
    enabled=True,
    admission="everyone",
    cap_nanos=500,
    tiers={"standard": Tier(), "premium": Tier({"monthly": 60})},
    past_due=False,
    version=1,
)
ADA = Member(
    org_id="org_acme",
    user_id="user_ada",
    name="Ada",
    email="ada@example.com",
    role="member",
    seat_tier="standard",
    admitted=True,
    continues=True,
)
BUDGET = Budget(
    "org_acme",
    "user_ada",
    "2026-11",
    "standard",
    epoch=1,
    day="2026-11-25",
    week="2026-11-23",
    consents=True,
)


def whole(amount: int, chooses: bool | None = None) -> Claim:
    return Claim(amount, lambda available: amount if amount <= available else 0, chooses)


def at_least(least: int, most: int) -> Claim:
    return Claim(most, lambda available: min(available, most) if available >= least else 0)


def decision(
    claim: Claim,
    *,
    organization: Organization = ACME,
    member: Member = ADA,
    pool: Pool = DRAINED,
    budget: Budget = BUDGET,
) -> Grant | Shortage | Refusal:
    return decide(organization, member, pool, budget, claim, NOW)


def granted(claim: Claim, **state: object) -> Grant:
    found = decision(claim, **state)  # type: ignore[arg-type]
    assert isinstance(found, Grant), found
    return found


def refused(claim: Claim, **state: object) -> Refusal:
    found = decision(claim, **state)  # type: ignore[arg-type]
    assert isinstance(found, Refusal), found
    return found


def with_limits(**limits: int) -> Member:
    own: Limits = limits  # type: ignore[assignment]
    return replace(ADA, limits=own)


class TestTheOrganizationsCap:
    def test_the_last_nano_is_spendable(self) -> None:
        grant = granted(whole(100))
        assert (grant.amount, grant.take, grant.opens) == (100, 100, False)

    def test_one_more_is_refused_until_the_month_ends_where_the_organization_is(self) -> None:
        refusal = refused(whole(101))
        assert (refusal.reason, refusal.level) == ("organization_limit_reached", "organization")
        assert refusal.resets_at == datetime(2026, 12, 1, 5, tzinfo=UTC)
        assert refusal.affordable == 100
        assert not refusal.retryable

    def test_less_is_accepted_if_the_claim_says_so(self) -> None:
        assert granted(at_least(100, 400)).amount == 100
        assert refused(at_least(101, 400)).reason == "organization_limit_reached"

    def test_while_a_cut_is_brought_back_the_answer_is_to_try_again(self) -> None:
        """Whoever made the cut is at it; if they died, others do it once their time is over."""
        owing = replace(DRAINED, unallotted=-1, drained_at=3)
        until = to_millis(NOW)
        waited = refused(whole(1), pool=replace(owing, enforced_until_millis=until + 1))
        assert (waited.reason, waited.retryable) == ("contended", True)
        over = replace(owing, enforced_until_millis=until)
        assert decision(whole(1), pool=over) == Shortage()
        done = replace(owing, drained_at=4, enforced_until_millis=until + 1)
        assert refused(whole(1), pool=done).reason == "organization_limit_reached"

    def test_a_no_is_a_shortage_as_long_as_others_may_hold_something_idly(self) -> None:
        assert decision(whole(101), pool=replace(DRAINED, grants=5)) == Shortage()
        assert decision(whole(100), pool=replace(DRAINED, grants=5)) != Shortage()

    def test_a_no_is_a_shortage_from_the_moment_a_hold_expires(self) -> None:
        just_later = replace(DRAINED, expiry_millis=to_millis(NOW) + 1)
        assert isinstance(decision(whole(101), pool=just_later), Refusal)
        just_now = replace(DRAINED, expiry_millis=to_millis(NOW))
        assert decision(whole(101), pool=just_now) == Shortage()

    def test_more_than_the_least_is_worth_a_recall(self) -> None:
        """Somebody's idle money may let the request have all that it wants."""
        undrained = replace(DRAINED, grants=5)
        assert decision(at_least(50, 400), pool=undrained) == Shortage()

    def test_what_the_member_was_handed_counts_as_theirs(self) -> None:
        own = replace(BUDGET, allotment=30, granted=30)
        grant = granted(whole(130), budget=own)
        assert (grant.amount, grant.take) == (130, 100)
        assert refused(whole(131), budget=own).affordable == 130

    def test_while_the_pool_owes_nobody_spends_not_even_their_own(self) -> None:
        own = replace(BUDGET, allotment=30, granted=30)
        owing = replace(DRAINED, unallotted=-1)
        assert refused(whole(1), pool=owing, budget=own).affordable == 0
        assert granted(whole(30), pool=replace(DRAINED, unallotted=0), budget=own).take == 0


class TestTheWallet:
    def test_the_last_nano_is_spendable_and_no_more(self) -> None:
        poor = replace(DRAINED, funds=70)
        assert granted(whole(70), pool=poor).take == 70
        refusal = refused(whole(71), pool=poor)
        assert (refusal.reason, refusal.level) == ("wallet_empty", "organization")
        assert refusal.resets_at is None
        assert refusal.affordable == 70

    def test_the_cap_is_named_when_both_are_equally_short(self) -> None:
        both = replace(DRAINED, funds=100)
        assert refused(whole(101), pool=both).reason == "organization_limit_reached"
        assert refused(whole(101), pool=replace(both, funds=99)).reason == "wallet_empty"


class TestTheMembersOwnLimits:
    @pytest.mark.parametrize(
        ("period", "resets_at"),
        [
            ("monthly", datetime(2026, 12, 1, 5, tzinfo=UTC)),
            ("daily", datetime(2026, 11, 26, tzinfo=UTC)),
            ("weekly", datetime(2026, 11, 30, tzinfo=UTC)),
        ],
    )
    def test_each_is_spendable_to_the_last_nano_and_says_when_it_resets(
        self, period: str, resets_at: datetime
    ) -> None:
        ada = with_limits(**{period: 50})
        used = replace(BUDGET, spent=20, granted=20, day_granted=20, week_granted=20)
        assert granted(whole(30), member=ada, budget=used).amount == 30
        refusal = refused(whole(31), member=ada, budget=used)
        assert (refusal.reason, refusal.level) == ("user_limit_reached", "user")
        assert (refusal.resets_at, refusal.affordable) == (resets_at, 30)
        assert refusal.user_id == "user_ada"

    def test_a_seat_tiers_limit_is_named_as_the_tiers(self) -> None:
        premium = replace(ADA, seat_tier="premium")
        refusal = refused(whole(61), member=premium)
        assert (refusal.reason, refusal.level) == ("seat_tier_limit_reached", "seat_tier")
        assert refusal.seat_tier == "premium"
        assert granted(whole(60), member=premium).amount == 60

    def test_what_sits_idle_does_not_count_as_used(self) -> None:
        idle = replace(BUDGET, allotment=40, granted=50, held=10, day_granted=50, week_granted=50)
        assert limit_used(idle, "monthly") == 10
        assert granted(whole(40), member=with_limits(monthly=50), budget=idle).take == 0
        assert refused(whole(41), member=with_limits(monthly=50), budget=idle).affordable == 40

    def test_the_tightest_is_named(self) -> None:
        ada = with_limits(monthly=50, daily=10, weekly=20)
        refusal = refused(whole(30), member=ada)
        assert refusal.resets_at == datetime(2026, 11, 26, tzinfo=UTC)
        assert refusal.affordable == 10

    def test_a_limit_that_was_cut_below_what_is_spent_leaves_nothing(self) -> None:
        used = replace(BUDGET, spent=20, granted=20)
        assert refused(whole(1), member=with_limits(monthly=10), budget=used).affordable == 0

    def test_it_is_named_before_the_organizations_cap(self) -> None:
        """Raising the cap would not help this member."""
        empty = replace(DRAINED, unallotted=0)
        assert refused(whole(11), member=with_limits(daily=10), pool=empty).level == "user"
        assert refused(whole(10), member=with_limits(daily=10), pool=empty).level == "organization"

    def test_a_slice_never_passes_them(self) -> None:
        rich = replace(DRAINED, unallotted=10**9, funds=10**9)
        used = replace(BUDGET, allotment=4, granted=10, day_granted=10, week_granted=10)
        grant = granted(whole(5), member=with_limits(monthly=12), pool=rich, budget=used)
        assert grant.take == 2
        assert used.granted + grant.take == 12

    def test_the_grant_carries_the_limits_that_its_write_has_to_keep(self) -> None:
        grant = granted(whole(5), member=with_limits(monthly=12, daily=7))
        assert [(limit.period, limit.amount_nanos) for limit in grant.limits] == [
            ("monthly", 12),
            ("daily", 7),
        ]


class TestWhoMayContinue:
    def test_refusals_come_in_the_order_in_which_they_can_be_lifted(self) -> None:
        """The owner's switch first, then the owner's choice, then the member's, then money."""
        window = OpenWindow("PT5H", 300, 50, 0, to_millis(NOW) + 1_000)
        budget = replace(BUDGET, consents=False, windows=(window,))
        member = replace(with_limits(daily=0), admitted=False)
        organization = replace(ACME, enabled=False, admission="selected", past_due=True)
        empty = replace(DRAINED, unallotted=0, funds=0)
        reset = NOW + timedelta(seconds=1)

        def reason() -> tuple[str, str, datetime | None]:
            found = refused(
                whole(1), organization=organization, member=member, budget=budget, pool=empty
            )
            return found.reason, found.level, found.resets_at

        assert reason() == ("extra_usage_disabled", "organization", reset)
        organization = replace(organization, enabled=True)
        assert reason() == ("member_not_enabled", "user", reset)
        member = replace(member, admitted=True)
        assert reason() == ("included_limit_reached", "user", reset)
        budget = replace(budget, consents=True)
        assert reason() == ("payment_past_due", "organization", None)
        organization = replace(organization, past_due=False)
        assert reason() == ("user_limit_reached", "user", datetime(2026, 11, 26, tzinfo=UTC))
        member = replace(member, limits={})
        assert reason()[:2] == ("organization_limit_reached", "organization")

    @pytest.mark.parametrize(
        ("chosen", "for_this_one", "may"),
        [
            (True, None, True),
            (False, None, False),
            (False, True, True),
            (True, False, False),
        ],
    )
    def test_a_choice_for_one_request_goes_before_the_members_standing_one(
        self, chosen: bool, for_this_one: bool | None, may: bool
    ) -> None:
        found = decision(whole(1, for_this_one), budget=replace(BUDGET, consents=chosen))
        assert isinstance(found, Grant) == may


class TestSlices:
    def rich(self, amount: int) -> Pool:
        return replace(DRAINED, unallotted=amount, funds=10**12)

    def test_a_rich_pool_hands_out_sixteen_requests_at_once(self) -> None:
        grant = granted(whole(5), pool=self.rich(10**9))
        assert (grant.amount, grant.take, grant.opens) == (5, 80, True)

    def test_never_more_than_a_64th_of_what_the_pool_has(self) -> None:
        assert granted(whole(5), pool=self.rich(79 * 64 + 63)).take == 79
        assert granted(whole(5), pool=self.rich(80 * 64)).take == 80

    def test_near_the_limit_it_is_exactly_the_request_and_opens_nothing(self) -> None:
        just_more = granted(whole(5), pool=self.rich(6 * 64))
        assert (just_more.take, just_more.opens) == (6, True)
        exactly = granted(whole(5), pool=self.rich(6 * 64 - 1))
        assert (exactly.take, exactly.opens) == (5, False)

    def test_what_the_member_has_left_is_used_up_first(self) -> None:
        own = replace(BUDGET, allotment=3, granted=3)
        grant = granted(whole(5), budget=own)
        assert (grant.take, grant.opens) == (2, False)

    def test_it_doubles_while_grants_follow_each_other_quickly(self) -> None:
        def sliced(age: int) -> int:
            budget = replace(BUDGET, slice_nanos=200, granted_at_millis=to_millis(NOW) - age)
            return granted(whole(5), pool=self.rich(10**9), budget=budget).take

        assert sliced(SLICE_GROWS_WITHIN_MILLIS - 1) == 400
        assert sliced(SLICE_GROWS_WITHIN_MILLIS) == 200
        assert sliced(SLICE_LASTS_MILLIS - 1) == 200
        assert sliced(SLICE_LASTS_MILLIS) == 80

    def test_the_wallet_bounds_it_as_the_cap_does(self) -> None:
        pool = replace(DRAINED, unallotted=10**9, funds=79 * 64)
        assert granted(whole(5), pool=pool).take == 79


class TestAPool:
    def test_what_can_be_taken_is_the_less_of_cap_and_wallet(self) -> None:
        assert DRAINED.available == 100
        assert replace(DRAINED, funds=99).available == 99
        assert replace(DRAINED, unallotted=-5).available == -5

    def test_it_is_drained_only_as_of_its_last_grant(self) -> None:
        assert DRAINED.is_drained(NOW)
        assert not replace(DRAINED, grants=5).is_drained(NOW)
        assert not replace(DRAINED, drained_at=3).is_drained(NOW)


def test_a_limit_resets_when_its_day_week_or_month_of_the_budget_ends() -> None:
    """The budget's, not the clock's: a clock may be behind."""
    ahead = replace(BUDGET, period="2026-12", day="2026-12-07", week="2026-12-07")
    assert limit_resets_at("daily", ahead, ACME) == datetime(2026, 12, 8, tzinfo=UTC)
    assert limit_resets_at("weekly", ahead, ACME) == datetime(2026, 12, 14, tzinfo=UTC)
    assert limit_resets_at("monthly", ahead, ACME) == datetime(2027, 1, 1, 5, tzinfo=UTC)
