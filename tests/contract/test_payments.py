"""The payment processor in memory keeps the promises of one."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.fake_payments import FakePayments
from tests.payment_promises import PaymentPromises


class TestInMemory(PaymentPromises):
    @pytest.fixture
    def processor(self, now: datetime) -> FakePayments:
        return FakePayments(now)
