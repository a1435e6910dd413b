"""The local payment processor: localstripe behind what Stripe does and it does not."""
