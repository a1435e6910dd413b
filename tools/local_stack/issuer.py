"""An issuer of tokens for the example people: its own key, and tokens that are really signed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://issuer.headroom.example"
AUDIENCE = "headroom"
ORGANIZATION_CLAIM = "organization_id"
KEY_ID = "local"
TOKEN_LASTS = timedelta(hours=24)


class Issuer:
    """Signs tokens with the key in a file, which is made when it is missing."""

    def __init__(self, key_file: Path) -> None:
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_bytes(_new_key())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"{key_file} holds no RSA key")
        self._key = key

    def parameters(self) -> dict[str, str]:
        """Return the template's parameters that make the application trust this issuer."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        key_set = {"keys": [{**public, "kid": KEY_ID, "alg": "RS256", "use": "sig"}]}
        packed = base64.b64encode(json.dumps(key_set).encode()).decode()
        return {
            "OidcIssuer": ISSUER,
            "OidcAudience": AUDIENCE,
            "OidcOrganizationClaim": ORGANIZATION_CLAIM,
            "OidcKeys": f"data:application/json;base64,{packed}",
        }

    def token(
        self,
        org_id: str,
        user_id: str,
        *,
        now: datetime | None = None,
        lasts: timedelta = TOKEN_LASTS,
        **claims: object,
    ) -> str:
        """Return a person's token; `claims` replace or add to the usual ones."""
        issued = now or datetime.now(UTC)
        usual: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            ORGANIZATION_CLAIM: org_id,
            "iat": int(issued.timestamp()),
            "exp": int((issued + lasts).timestamp()),
        }
        return jwt.encode(
            {**usual, **claims}, self._key, algorithm="RS256", headers={"kid": KEY_ID}
        )


def _new_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
