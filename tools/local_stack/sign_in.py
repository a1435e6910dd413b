"""The local sign-in: an OpenID provider on the loopback interface, for the example people only.

It has no passwords, because everybody in it is an example; all else is as at a real one: code flow,
PKCE, exact redirect addresses, codes that work once and for a minute.

python -m tools.local_stack.sign_in --home FOLDER --port N
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from tools.local_stack.emulator import ROOT, clean_environment
from tools.local_stack.issuer import AUDIENCE, Issuer
from tools.servers import Server

PORT_PREFERRED: Final = 4580
CODE_LASTS_SECONDS: Final = 60.0
FRONT_DOOR: Final = "/settings/usage"
START_PATIENCE_SECONDS: Final = 20.0
STOP_PATIENCE_SECONDS: Final = 5.0
DEVELOPER_PYTHON: Final = ROOT / ".venv" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class SignIn:
    """The sign-in of the stack whose folder is `home`: a process that outlives the tool."""

    home: Path

    @property
    def url(self) -> str:
        """Where it is; it keeps its port, because the deployed page carries the address."""
        return self._server.url

    def parameters(self) -> dict[str, str]:
        """Return the template's parameters that lead the page here."""
        return {
            "OidcClientId": AUDIENCE,
            "OidcAuthorizationEndpoint": f"{self.url}/authorize",
            "OidcTokenEndpoint": f"{self.url}/token",
            # The page's own address is not known before it is deployed, and mail and banks lead to
            # it: they lead here, and from here on.
            "SettingsUrl": f"{self.url}{FRONT_DOOR}",
        }

    def start(self) -> None:
        """Start it and wait until it answers; does nothing if it runs.

        Raises:
            ServerFailed: it ended by itself, or gave no answer within its patience.
        """
        if self._server.running:
            return
        port = self._server.choose_port(PORT_PREFERRED)
        self._server.start(
            [
                *(DEVELOPER_PYTHON, "-m", "tools.local_stack.sign_in"),
                *("--home", self.home, "--port", str(port)),
            ],
            environment=clean_environment(),
            folder=ROOT,
            patience_seconds=START_PATIENCE_SECONDS,
        )

    def stop(self) -> None:
        """End it, if it runs."""
        self._server.stop(patience_seconds=STOP_PATIENCE_SECONDS)

    def admit(self, page_url: str, people: list[dict[str, str]], *, ahead: timedelta) -> None:
        """Say who may sign in, to which page they are led back, and how far its clock is ahead.

        Each of `people` has an organization, org_id, user_id, name and role.
        """
        seconds = int(ahead.total_seconds())
        directory = {"redirect_uris": [page_url], "people": people, "ahead_seconds": seconds}
        self._directory_file.write_text(json.dumps(directory, indent=2))

    @property
    def _server(self) -> Server:
        return Server(
            "The sign-in",
            process_file=self.home / "sign_in.json",
            port_file=self.home / "sign_in.port",
            log=self.home / "sign_in.log",
            health_path="/health",
        )

    @property
    def _directory_file(self) -> Path:
        return self.home / "people.json"


class Refused(Exception):
    """What the provider answers instead of a page or a token: an OAuth error and why."""

    def __init__(self, error: str, why: str) -> None:
        super().__init__(why)
        self.error = error


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code stands for."""

    person: dict[str, str]
    redirect_uri: str
    challenge: str
    nonce: str | None
    expires: float


class Provider:
    """The rules of the code flow with PKCE (RFC 6749, RFC 7636), for one public client.

    `directory` is a file with the people and the redirect addresses, read at each request.
    """

    def __init__(self, issuer: Issuer, directory: Path) -> None:
        self._issuer = issuer
        self._directory = directory
        self._grants: dict[str, Grant] = {}

    def people(self, query: dict[str, str]) -> list[dict[str, str]]:
        """Return who may sign in with a request as it came from the page.

        Raises:
            Refused: the request is none that this provider takes.
        """
        directory = self._read()
        if query.get("client_id") != AUDIENCE:
            raise Refused("invalid_client", "client_id is not known")
        if query.get("redirect_uri") not in directory["redirect_uris"]:
            raise Refused("invalid_request", "redirect_uri is not registered")
        if query.get("response_type") != "code":
            raise Refused("unsupported_response_type", "response_type must be code")
        if query.get("code_challenge_method") != "S256" or not query.get("code_challenge"):
            raise Refused("invalid_request", "code_challenge with S256 is required")
        people: list[dict[str, str]] = directory["people"]
        return people

    def approve(self, form: dict[str, str], now: float) -> str:
        """Return where to lead somebody who chose who they are.

        Raises:
            Refused: the request is not valid, or there is no such person.
        """
        chosen = [one for one in self.people(form) if one["user_id"] == form.get("user_id")]
        if not chosen:
            raise Refused("access_denied", "there is no such person")
        code = secrets.token_urlsafe(24)
        self._grants[code] = Grant(
            chosen[0],
            form["redirect_uri"],
            form["code_challenge"],
            form.get("nonce"),
            now + CODE_LASTS_SECONDS,
        )
        answer = {"code": code, **({"state": form["state"]} if "state" in form else {})}
        return f"{form['redirect_uri']}?{urlencode(answer)}"

    def exchange(self, form: dict[str, str], now: float) -> dict[str, Any]:
        """Return the tokens for a code, which is used up whatever comes of it.

        Raises:
            Refused: the code, its verifier or its redirect address is wrong.
        """
        if form.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type", "grant_type must be authorization_code")
        grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or now > grant.expires:
            raise Refused("invalid_grant", "the code is unknown, used or expired")
        if form.get("client_id") != AUDIENCE or form.get("redirect_uri") != grant.redirect_uri:
            raise Refused("invalid_grant", "the code was made out to another")
        if challenge_of(form.get("code_verifier", "")) != grant.challenge:
            raise Refused("invalid_grant", "code_verifier does not fit the challenge")
        person = grant.person
        claims: dict[str, Any] = {"name": person["name"]}
        if grant.nonce:
            claims["nonce"] = grant.nonce
        ahead = timedelta(seconds=self._read()["ahead_seconds"])
        token = self._issuer.token(
            person["org_id"], person["user_id"], now=datetime.now(UTC) + ahead, **claims
        )
        return {"token_type": "Bearer", "expires_in": 86400, "id_token": token}

    def page_url(self, query: str) -> str:
        """Return where the page is now, with what an address that leads to it says."""
        page: str = self._read()["redirect_uris"][0]
        return f"{page}?{query}" if query else page

    def allows(self, origin: str | None) -> bool:
        """Whether a page of this origin may read the tokens."""
        pages = [urlsplit(uri) for uri in self._read()["redirect_uris"]]
        return origin in {f"{page.scheme}://{page.netloc}" for page in pages}

    def _read(self) -> dict[str, Any]:
        try:
            directory: dict[str, Any] = json.loads(self._directory.read_text())
        except FileNotFoundError:
            directory = {"redirect_uris": [], "people": [], "ahead_seconds": 0}
        return directory


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class SignInHandler(BaseHTTPRequestHandler):
    """HTTP around the provider: a page with the people, and the token endpoint."""

    provider: Provider

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/health":
            self._send(200, "text/plain", b"ok")
            return
        if address.path == FRONT_DOOR:
            self._send(302, "text/plain", b"", location=self.provider.page_url(address.query))
            return
        if address.path != "/authorize":
            self._send(404, "text/plain", b"There is nothing here.")
            return
        query = dict(parse_qsl(address.query))
        try:
            self._send(200, "text/html; charset=utf-8", show(self.provider.people(query), query))
        except Refused as refused:
            self._send(400, "text/plain", f"{refused.error}: {refused}".encode())

    def do_POST(self) -> None:
        length = min(int(self.headers.get("content-length") or 0), 16_384)
        form = dict(parse_qsl(self.rfile.read(length).decode(errors="replace")))
        try:
            if self.path == "/authorize":
                self._send(
                    303, "text/plain", b"", location=self.provider.approve(form, time.time())
                )
            elif self.path == "/token":
                tokens = self.provider.exchange(form, time.time())
                self._send(200, "application/json", json.dumps(tokens).encode())
            else:
                self._send(404, "text/plain", b"There is nothing here.")
        except Refused as refused:
            answer = {"error": refused.error, "error_description": str(refused)}
            self._send(400, "application/json", json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of addresses: they carry codes."""

    def _send(self, status: int, kind: str, body: bytes, *, location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.send_header("referrer-policy", "no-referrer")
        origin = self.headers.get("origin")
        if self.path == "/token" and origin and self.provider.allows(origin):
            self.send_header("access-control-allow-origin", origin)
            self.send_header("vary", "origin")
        if location is not None:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body)


def show(people: list[dict[str, str]], query: dict[str, str]) -> bytes:
    """Return the page on which one chooses who to be."""
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in query.items()
    )
    groups = "".join(
        f"<h2>{html.escape(organization)}</h2>"
        + "".join(_button(one) for one in people if one["organization"] == organization)
        for organization in dict.fromkeys(one["organization"] for one in people)
    )
    return (
        PAGE.read_text()
        .replace("{{people}}", f'<form method="post" action="/authorize">{hidden}{groups}</form>')
        .encode()
    )


def _button(one: dict[str, str]) -> str:
    role = one["role"].replace("_", " ")
    return (
        f'<button name="user_id" value="{html.escape(one["user_id"])}">'
        f"<b>{html.escape(one['name'])}</b> <span>{html.escape(role)}</span></button>"
    )


PAGE: Final = Path(__file__).parent / "sign_in.html"


def main() -> None:
    parser = argparse.ArgumentParser(prog="sign_in", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    issuer = Issuer(arguments.home / "issuer.pem")
    SignInHandler.provider = Provider(issuer, arguments.home / "people.json")
    ThreadingHTTPServer(("127.0.0.1", arguments.port), SignInHandler).serve_forever()


if __name__ == "__main__":
    main()
