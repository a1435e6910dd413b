"""Bring the local stack up, or take it down.

python -m tools.local_stack up [--home FOLDER] [--port N] [--fresh] [--now 2027-01-31T23:50:00Z]
python -m tools.local_stack down [--home FOLDER]
python -m tools.local_stack env [--home FOLDER]
python -m tools.local_stack mail [--home FOLDER]
python -m tools.local_stack close [--home FOLDER]
python -m tools.local_stack chase [--home FOLDER]
python -m tools.local_stack pay [list|card|confirm|refuse|dispute|win|lose] [--card NAME]
    [--payment ID] [--home FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.local_stack.deployment import REAL_TIME, DeploymentFailed
from tools.local_stack.emulator import HOME, Emulator
from tools.local_stack.mail import sent_mail, show
from tools.local_stack.paying import ACTIONS, CARDS, Hand, NothingToDo, team_of
from tools.local_stack.payments import CardRefused
from tools.local_stack.provisioning import ProvisioningFailed
from tools.local_stack.stack import down, environment, up
from tools.servers import ServerFailed

FAILURES = (ServerFailed, CardRefused, DeploymentFailed, ProvisioningFailed)


def main() -> int:
    arguments = _parse()
    if arguments.command == "env":
        return _print_environment(arguments.home.resolve() / "stack.json")
    emulator = Emulator(arguments.home.resolve())
    if arguments.command in ("mail", "close", "chase", "pay"):
        return _ask(arguments, emulator)
    if arguments.command == "down":
        if down(emulator):
            print("Stopped the local stack; its state is kept.")
        return 0
    try:
        ahead = REAL_TIME if arguments.now is None else arguments.now - datetime.now(UTC)
        up(emulator, port=arguments.port, fresh=arguments.fresh, ahead=ahead)
    except FAILURES as failure:
        print(f"\n{failure}\n\nLogs are in {emulator.home}.", file=sys.stderr)
        return 1
    return 0


def _print_environment(described: Path) -> int:
    """Print where the stack is, and how its Team organization is called, as shell variables."""
    if not described.exists():
        print("There is no local stack; bring it up with: make up", file=sys.stderr)
        return 1
    for name, value in environment(json.loads(described.read_text())).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _ask(arguments: argparse.Namespace, emulator: Emulator) -> int:
    """Do what needs a stack that runs."""
    described = emulator.home / "stack.json"
    if not emulator.running or not described.exists():
        print("There is no local stack running; bring it up with: make up", file=sys.stderr)
        return 1
    stack = json.loads(described.read_text())
    match arguments.command:
        case "mail":
            return _print_mail(emulator)
        case "close":
            return _close_periods(emulator, stack)
        case "chase":
            return _chase_invoices(emulator, stack)
        case _:
            return _pay(arguments, stack)


def _print_mail(emulator: Emulator) -> int:
    """Print the mail that the stack has sent, as plain text."""
    mails = sent_mail(emulator.endpoint_url)
    print(f"\n{'=' * 72}\n".join(show(mail) for mail in mails) or "No mail was sent yet.")
    return 0


def _run(emulator: Emulator, stack: dict[str, Any], function: str) -> dict[str, Any] | None:
    """Invoke a function as its schedule does; say so and return None if it failed."""
    client = emulator.session.client("lambda", endpoint_url=emulator.endpoint_url)
    answer = client.invoke(FunctionName=stack["functions"][function], Payload="{}")
    said: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        print(f"{function} failed: {said}", file=sys.stderr)
        return None
    return said


def _close_periods(emulator: Emulator, stack: dict[str, Any]) -> int:
    """Close the periods that are due, as the schedule does every quarter of an hour."""
    said = _run(emulator, stack, "ClosePeriods")
    if said is None:
        return 1
    print(
        f"{said['handed_out']} periods are being closed. Their documents are on the page, under "
        "Invoices, within a minute\nor once open holds have ended. A period is due some minutes "
        "after its end in the organization's time zone."
    )
    return 0


def _chase_invoices(emulator: Emulator, stack: dict[str, Any]) -> int:
    """See to invoices that are due or past due, as the schedule does every hour."""
    said = _run(emulator, stack, "ChaseInvoices")
    if said is None:
        return 1
    print(f"{said['looked_at']} invoices were looked at: those that are due, or past due.")
    return 0


def _pay(arguments: argparse.Namespace, stack: dict[str, Any]) -> int:
    """Act at the payment processor, and print what came of it as JSON."""
    try:
        told = Hand(stack["processor_url"]).act(
            arguments.action or "list",
            org_id=team_of(stack),
            payment_id=arguments.payment,
            card=arguments.card or "",
        )
    except NothingToDo as nothing:
        print(nothing, file=sys.stderr)
        return 1
    print(json.dumps(told, indent=2))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local_stack", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "env", "mail", "close", "chase", "pay"])
    parser.add_argument("action", nargs="?", choices=ACTIONS, help="what to do, of `pay`")
    parser.add_argument("--card", choices=list(CARDS), help="the card of `pay card`")
    parser.add_argument("--payment", help="a payment's id, of `pay`")
    parser.add_argument("--home", type=Path, default=HOME)
    parser.add_argument("--port", type=int)
    parser.add_argument("--fresh", action="store_true", help="start from an empty account")
    parser.add_argument(
        "--now", type=_future, help="what time it is for the application, from here on"
    )
    return parser.parse_args()


def _future(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("must say its offset, such as 2027-01-31T23:50:00Z")
    if moment < datetime.now(UTC):
        raise argparse.ArgumentTypeError("the clock can only be set ahead")
    return moment.astimezone(UTC)


if __name__ == "__main__":
    sys.exit(main())
