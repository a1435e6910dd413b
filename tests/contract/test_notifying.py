"""Who is told of an event by mail: the right people, each at most once, whatever fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from functions.notify_people import handler as notify_people
from headroom.core.domain.actor import Actor
from headroom.core.errors import Overloaded
from headroom.core.store.announcements import read_announcement
from headroom.core.store.table import Key
from headroom.limits.usecases.increase_requests import request_increase
from headroom.limits.usecases.members import add_member, change_seat, remove_member
from headroom.notifications.domain.letters.letter import Letter
from headroom.notifications.domain.letters.notices import _READERS
from headroom.notifications.gateways.mail import MailNotSent, MailRefused, MailUnknown, SesMailer
from headroom.notifications.usecases.mail import Told, notify
from headroom.notifications.usecases.mail_preferences import change_preferences, preferences_to_wire
from headroom.organizations.domain.mail_topics import TOPICS
from headroom.organizations.domain.organization import Member, Role
from headroom.organizations.store.audit import entry_to_wire, list_entries
from headroom.organizations.store.organizations import find_organization
from tests.contract.governing import ANN, BEN, NOW, OLGA, OWNER, PAM, House
from tests.in_process import Application, Context, sample
from tests.template import template

WALLET_LOW = {"id": "evt_low", "balance": "100"}


class Post:
    """Keeps what it was given to send; `fail` says what becomes of a letter to an address."""

    def __init__(self, fail: Callable[[Letter], Exception | None] = lambda letter: None) -> None:
        self.sent: list[Letter] = []
        self.fail = fail

    def send(self, letter: Letter) -> None:
        if (failure := self.fail(letter)) is not None:
            raise failure
        self.sent.append(letter)

    @property
    def receivers(self) -> list[str]:
        return sorted(letter.to.partition("@")[0] for letter in self.sent)


@pytest.fixture
def house() -> House:
    return House()


def tell(house: House, post: Post, detail_type: str, detail: dict[str, Any]) -> Told:
    carried = {"organization_id": house.org_id, "occurred_at": "2026-11-02T12:00:00Z", **detail}
    return notify(house.table, post, detail_type, carried, "https://h.example", NOW)


def test_owners_hear_of_the_wallet_and_nobody_else(house: House) -> None:
    post = Post()
    assert tell(house, post, "wallet.low", WALLET_LOW).sent == 1
    assert post.receivers == [OLGA]


MUTED: dict[str, bool] = dict.fromkeys(TOPICS, False)


def announced(house: House) -> list[tuple[str, dict[str, Any]]]:
    """What the table's stream has passed on of changes of settings, the latest first."""
    items = list_entries(house.table, house.org_id, limit=50).items
    return [read_announcement(item) for item in items if "detail_type" in item]


def seat(house: House, user_id: str, role: Role) -> None:
    """Let the primary owner give somebody a role."""
    change_seat(
        house.table,
        house.organization,
        user_id,
        OWNER,
        NOW,
        admitted=None,
        seat_tier=None,
        role=role,
    )


def test_every_owner_hears_of_a_role_with_more_rights_whatever_is_switched_off(
    house: House,
) -> None:
    change_preferences(house.table, house.org_id, MUTED, OWNER, NOW)

    seat(house, PAM, "owner")
    new = Member(house.org_id, "user_new", "Nele", "n@x.example", "admin", "standard", True, True)
    add_member(house.table, house.organization, new, OWNER, NOW)
    raised = announced(house)
    assert [(kind, detail["subject"]) for kind, detail in raised] == [
        ("member.role_raised", "user_new"),
        ("member.role_raised", PAM),
    ]
    assert raised[0][1]["after"]["role"] == "admin"
    assert "role" not in raised[0][1]["before"]
    post = Post()
    for kind, detail in raised:
        assert notify(house.table, post, kind, detail, "https://h.example", NOW).sent == 2
    assert post.receivers == [OLGA, OLGA, PAM, PAM]
    assert f"{OLGA} gave Nele a role with more rights in House: Admin." in post.sent[0].text

    seat(house, PAM, "member")
    seat(house, BEN, "member")
    remove_member(house.table, house.organization, "user_new", OWNER, NOW)
    plain = replace(new, user_id="user_plain", role="member")
    add_member(house.table, house.organization, plain, OWNER, NOW)
    assert len(announced(house)) == 2


def test_requests_are_told_to_admins_too_with_the_names_of_those_who_ask(house: House) -> None:
    request = request_increase(
        house.table, house.organization, ANN, "monthly", None, NOW, entropy=bytes(6)
    )
    post = Post()

    tell(
        house,
        post,
        "spend_limit.increase_requests_outstanding",
        {"id": "evt_digest", "pending": 1, "request_ids": [request.request_id, "slir_gone"]},
    )

    assert post.receivers == [OLGA, PAM]
    assert f"From: {ANN}." in post.sent[0].text


def test_a_decision_is_told_to_whoever_asked(house: House) -> None:
    post = Post()
    detail = {"id": "evt_yes", "user_id": BEN, "period": "monthly", "amount": "500"}

    tell(house, post, "spend_limit.increase_approved", {**detail, "notify": True})
    tell(house, post, "spend_limit.increase_approved", {**detail, "id": "evt_2", "notify": False})

    assert post.receivers == [BEN]


def test_somebody_promoted_hears_and_somebody_who_left_does_not(house: House) -> None:
    seat(house, ANN, "owner")
    seat(house, BEN, "owner")
    seat(house, BEN, "member")
    seat(house, PAM, "owner")
    remove_member(house.table, house.organization, PAM, OWNER, NOW)
    post = Post()

    tell(house, post, "wallet.low", WALLET_LOW)

    assert post.receivers == [ANN, OLGA]


def test_a_member_who_left_is_told_nothing(house: House) -> None:
    remove_member(house.table, house.organization, BEN, OWNER, NOW)
    post = Post()
    assert tell(house, post, "spend_limit.increase_denied", {"id": "e", "user_id": BEN}).sent == 0


def test_an_event_that_comes_again_is_not_told_again(house: House) -> None:
    post = Post()
    for _ in range(3):
        tell(house, post, "wallet.low", WALLET_LOW)
    tell(house, post, "wallet.low", {**WALLET_LOW, "id": "evt_next"})
    assert post.receivers == [OLGA, OLGA]


def test_what_was_certainly_not_sent_is_tried_again_and_only_that(house: House) -> None:
    detail = {"id": "evt_digest", "pending": 0, "request_ids": []}
    name = "spend_limit.increase_requests_outstanding"
    post = Post(lambda letter: MailNotSent("busy") if letter.to.startswith(PAM) else None)
    with pytest.raises(MailNotSent):
        tell(house, post, name, detail)
    # One that fails does not keep it from the others.
    assert post.receivers == [OLGA]

    post.fail = lambda letter: None
    assert tell(house, post, name, detail).sent == 1

    assert post.receivers == [OLGA, PAM]


@pytest.mark.parametrize("failure", [MailRefused("no"), MailUnknown("no answer")])
def test_what_cannot_or_may_have_been_sent_is_not_tried_again(
    house: House, failure: Exception
) -> None:
    post = Post(lambda letter: failure)
    told = tell(house, post, "wallet.low", WALLET_LOW)
    assert (told.sent, told.refused + told.unknown) == (0, [OLGA])

    post.fail = lambda letter: None
    tell(house, post, "wallet.low", WALLET_LOW)

    assert post.sent == []


def test_a_run_that_is_cut_off_before_it_sends_never_doubles(house: House) -> None:
    """A mail may be lost that way; it is never sent twice."""

    class Killed(BaseException):
        pass

    def die(letter: Letter) -> Exception | None:
        post.sent.append(letter)
        raise Killed

    post = Post(die)
    with pytest.raises(Killed):
        tell(house, post, "wallet.low", WALLET_LOW)
    post.fail = lambda letter: None
    tell(house, post, "wallet.low", WALLET_LOW)

    assert post.receivers == [OLGA]


def test_nothing_is_sent_before_it_is_claimed(house: House) -> None:
    def crash(name: str) -> None:
        if name == "transact":
            raise Overloaded("no store")

    post = Post()
    house.table.step = crash
    with pytest.raises(Overloaded):
        tell(house, post, "wallet.low", WALLET_LOW)
    assert post.sent == []


def test_a_topic_that_is_switched_off_is_not_mailed_and_the_change_is_audited(
    house: House,
) -> None:
    version = house.organization.version
    change_preferences(house.table, house.org_id, {"wallet": False}, OWNER, NOW)
    post = Post()

    tell(house, post, "wallet.low", WALLET_LOW)
    tell(house, post, "wallet.reload_failed", {"id": "evt_r", "amount": "1"})

    assert [letter.subject for letter in post.sent] == ["The wallet of House could not be reloaded"]
    (latest,) = list_entries(house.table, house.org_id, limit=1).items
    entry = entry_to_wire(latest)
    assert entry["action"] == "notifications.changed"
    assert (entry["before"], entry["after"]) == ({"mail.wallet": True}, {"mail.wallet": False})
    assert house.organization.version == version + 1

    # The same again is no change; on again, and the next event is told.
    change_preferences(house.table, house.org_id, {"wallet": False}, OWNER, NOW)
    assert house.organization.version == version + 1
    change_preferences(house.table, house.org_id, {"wallet": True, "reloads": False}, OWNER, NOW)
    tell(house, post, "wallet.low", WALLET_LOW)
    assert len(post.sent) == 2
    mail = preferences_to_wire(house.organization)["mail"]
    assert [topic for topic, is_on in mail.items() if not is_on] == ["reloads"]


def test_a_change_of_settings_keeps_the_preferences(house: House) -> None:
    change_preferences(house.table, house.org_id, {"wallet": False}, OWNER, NOW)
    house.limit("organization", "", 100)
    assert house.organization.muted == {"wallet"}


def test_preferences_survive_others_who_change_the_same_organization(house: House) -> None:
    raced = iter([True])

    def race(name: str) -> None:
        if name == "transact" and next(raced, False):
            change_preferences(
                house.table, house.org_id, {"credits": False}, Actor("user", PAM), NOW
            )

    house.table.step = race
    change_preferences(house.table, house.org_id, {"wallet": False}, OWNER, NOW)

    assert house.organization.muted == {"wallet", "credits"}


def test_an_event_of_nobody_we_know_is_let_go(house: House) -> None:
    post = Post()
    tell(house, post, "wallet.low", {**WALLET_LOW, "organization_id": "org_gone"})
    assert post.sent == []


def test_the_rule_hears_just_what_people_are_told() -> None:
    pattern = template()["Resources"]["NotifyPeopleRule"]["Properties"]["EventPattern"]
    assert pattern["source"] == ["headroom"]
    assert sorted(pattern["detail-type"]) == pattern["detail-type"] == sorted(_READERS)


def test_the_function_sends_the_sample_event_through_ses(app: Application) -> None:
    acme = app.provision(language="fr", name="Acmé <SA>")
    ses = boto3.client("sesv2")
    ses.create_email_identity(EmailIdentity="headroom@example.com")
    event = sample("notify_people/threshold_reached")
    event["detail"]["organization_id"] = acme.id

    answers = [notify_people.handler(event, Context()) for _ in range(2)]

    owners = [member for member in acme.members if member["role"] in ("primary_owner", "owner")]
    assert [answer["sent"] for answer in answers] == [len(owners), 0]
    assert owners
    assert find_organization(app.table, acme.id) is not None
    assert Key(f"ORG#{acme.id}#MAIL#{event['detail']['id']}", f"MEMBER#{owners[0]['user_id']}") in {
        Key(item["pk"]["S"], item["sk"]["S"]) for item in app.everything()
    }


@pytest.mark.parametrize(
    "address", ["a,b@x.example", "Eve <eve@x.example>", "a@x.example\nBcc:b@x", "é@x.example"]
)
def test_an_address_that_ses_would_read_otherwise_is_refused(address: str) -> None:
    with mock_aws(), pytest.raises(MailRefused):
        SesMailer("headroom@example.com", "us-east-1").send(Letter(address, "s", "t", "h"))


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("MessageRejected", 400, MailRefused),
        ("BadRequestException", 400, MailRefused),
        ("TooManyRequestsException", 429, MailNotSent),
        # Ours to mend, and then it can be sent.
        ("MailFromDomainNotVerifiedException", 400, MailNotSent),
        ("AccessDeniedException", 403, MailNotSent),
        ("InternalFailure", 500, MailUnknown),
    ],
)
def test_what_ses_answers_says_whether_to_try_again(
    code: str, status: int, outcome: type[Exception]
) -> None:
    mailer = SesMailer("headroom@example.com", "us-east-1")
    with Stubber(mailer._client) as ses:
        ses.add_client_error("send_email", code, http_status_code=status)
        with pytest.raises(outcome):
            mailer.send(Letter("a@x.example", "s", "t", "h"))


def test_no_answer_is_not_taken_for_a_no() -> None:
    """A server that hangs up after it has read the mail may have sent it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=hang_up)
        thread.start()
        mailer = SesMailer("headroom@example.com", "us-east-1", f"http://{host}:{port}")
        with pytest.raises(MailUnknown):
            mailer.send(Letter("a@x.example", "s", "t", "h"))
        thread.join()
    # Now nobody listens there: it was certainly not sent.
    with pytest.raises(MailNotSent):
        mailer.send(Letter("a@x.example", "s", "t", "h"))


def test_a_sender_who_is_not_verified_yet_is_ours_to_mend() -> None:
    mailer = SesMailer("headroom@example.com", "us-east-1")
    with Stubber(mailer._client) as ses:
        message = "Email address is not verified. The following identities failed the check"
        ses.add_client_error("send_email", "MessageRejected", message, http_status_code=400)
        with pytest.raises(MailNotSent):
            mailer.send(Letter("a@x.example", "s", "t", "h"))
