"""What functions find in their environment where nothing is deployed: in tests and benches."""

from __future__ import annotations

import os
from typing import Final

from tools.local_stack.issuer import AUDIENCE, ISSUER, ORGANIZATION_CLAIM

ENVIRONMENT: Final[dict[str, str]] = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_EC2_METADATA_DISABLED": "true",
    "TABLE_NAME": "headroom-test",
    "EVENT_BUS_NAME": "headroom-test",
    "WEBHOOK_KEY_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:headroom-webhooks",
    "WEBHOOK_LOOPBACK": "true",
    "MAIL_SENDER": "headroom@example.com",
    "SETTINGS_URL": "https://headroom.example/settings",
    "CLOSING_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:headroom-test",
    "CLOSING_CONCURRENCY": "20",
    "DOCUMENTS_BUCKET": "headroom-test-documents",
    "PAYMENT_TERMS_DAYS": "30",
    "PAST_DUE_GRACE_DAYS": "14",
    "SELLER_NAME": "Headroom Inc.",
    "SELLER_ADDRESS": "1 Market Street|San Francisco, CA 94105|USA",
    "SELLER_TAX_ID": "12-3456789",
    "PAYMENT_INSTRUCTIONS": "First Bank|IBAN US00 1234 5678|BIC FIRSTUS",
    "OIDC_ISSUER": ISSUER,
    "OIDC_AUDIENCE": AUDIENCE,
    "OIDC_ORGANIZATION_CLAIM": ORGANIZATION_CLAIM,
    "OIDC_CLIENT_ID": AUDIENCE,
    "OIDC_AUTHORIZATION_ENDPOINT": f"{ISSUER}/authorize",
    "OIDC_TOKEN_ENDPOINT": f"{ISSUER}/token",
    "OIDC_END_SESSION_ENDPOINT": "",
    "OIDC_SCOPE": "openid profile",
    "PAYMENT_METHODS_URL": "",
    "OIDC_KEYS": "data:application/json,%7B%22keys%22%3A%5B%5D%7D",
    "STRIPE_API_BASE": "https://stripe.invalid",
    "STRIPE_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:stripe",
    "TOP_UP_MIN_CENTS": "500",
    "TOP_UP_MAX_CENTS": "1000000",
    "RELOAD_COOL_DOWN_SECONDS": "60",
    "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/headroom-test",
    "ACT_FUNCTION_ARN": "arn:aws:lambda:us-east-1:123456789012:function:act",
    "CONSOLE_KEY_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:headroom-console",
    "RELEASED_VERSIONS": "{}",
    "RELOAD_FUNCTION": "headroom-test-reload",
    "STAGE": "local",
    "POWERTOOLS_SERVICE_NAME": "headroom-test",
    "POWERTOOLS_METRICS_NAMESPACE": "Headroom",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}
