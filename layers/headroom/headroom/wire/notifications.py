"""Preferences for mail, and webhook endpoints, as clients send them."""

from __future__ import annotations

from headroom.domain.letters.notices import TOPICS
from headroom.wire.fields import as_object, known_only, optional_flag


def parse_preferences(body: object) -> dict[str, bool]:
    """Read which topics are to be mailed; those that are not named stay as they are.

    Raises:
        InvalidRequest: there is one that is unknown, or neither true nor false.
    """
    fields = as_object(body, "body")
    known_only(fields, frozenset({"mail"}))
    mail = as_object(fields.get("mail"), "mail")
    known_only(mail, frozenset(TOPICS), "mail.")
    wanted = {topic: optional_flag(mail, topic, "mail.") for topic in mail}
    return {topic: flag for topic, flag in wanted.items() if flag is not None}
