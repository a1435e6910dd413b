"""What a person sees at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headroom.core.domain.money import NANOS_PER_UNIT
from headroom.organizations.domain.organization import Member, admits, effective_limits
from headroom.spending.domain.allotment import limit_used
from headroom.spending.domain.budget import Budget
from tools.demo.books import Books
from tools.demo.proof import Proof
from tools.demo.reloading import Reload
from tools.demo.replay import Outcome
from tools.demo.writes import KINDS, OTHER

WIDTH_MAX: Final = 100
BAR_WIDTH: Final = 22
SMALL_BAR_WIDTH: Final = 8
FINDINGS_SHOWN: Final = 5

# Each reason in a few words; the whole story is in the refusal itself.
REASONS: Final[Mapping[str, str]] = {
    "included_limit_reached": "seat's allowance",
    "extra_usage_disabled": "extra usage off",
    "member_not_enabled": "not admitted",
    "organization_limit_reached": "organization's cap",
    "seat_tier_limit_reached": "tier's limit",
    "user_limit_reached": "own limit",
    "wallet_empty": "wallet empty",
    "payment_past_due": "payment past due",
    "contended": "contended",
    "too_many_open_authorizations": "too many open",
}


@dataclass(frozen=True, slots=True)
class Run:
    """All that the report is about."""

    outcomes: Sequence[Outcome]
    clients: int
    seconds: float
    writes: Mapping[str, int]
    books: Sequence[Books]
    proof: Proof
    reloads: Sequence[Reload] = ()

    @property
    def failures(self) -> list[str]:
        """What the API failed to answer."""
        return [outcome.failure for outcome in self.outcomes if outcome.failure is not None]

    @property
    def succeeded(self) -> bool:
        """Whether the proof holds and every request was answered."""
        return self.proof.holds and not self.failures


def print_report(console: Console, run: Run) -> None:
    """Print what became of the replay."""
    parts: list[RenderableType] = [
        _heading("What happened"),
        _requests(console, run),
        Text(),
        _events(run),
        _heading("What it cost"),
        _money(run),
    ]
    for books in run.books:
        parts += [_organization_heading(books), *_organization(console, books, run)]
    parts += [
        _heading("How it went"),
        _performance(run),
        _heading("The proof, read from the table itself"),
        _checks(console, run.proof),
        *_findings(run.proof),
        Text(),
        _verdict(run),
    ]
    with console.capture() as capture:
        console.print(
            Padding(Group(*parts), (0, 0, 1, 2), expand=False),
            width=min(console.width, WIDTH_MAX),
        )
    # Columns are padded to their width, which in a file is only trailing space.
    lines = capture.get().splitlines()
    console.file.write("\n".join(line.rstrip() for line in lines) + "\n")


def _requests(console: Console, run: Run) -> Table:
    outcomes = run.outcomes
    total = len(outcomes)
    grid = _grid("left", "right", "right", "left", "left")
    allowed = [each for each in outcomes if each.allowed]
    refusals = Counter(each.refusal for each in outcomes if each.refusal)
    rejections = Counter(each.rejection for each in outcomes if each.rejection)

    def row(name: str, count: int, note: str = "", style: str = "") -> None:
        bar = _bar(console, count, total, BAR_WIDTH, style or "default")
        share = f"{100 * count / total:.0f} %" if total else ""
        grid.add_row(Text(name, style), f"{count:,}", share, bar, Text(note, "dim"))

    included = sum(each.source == "included" for each in allowed)
    row("allowed", len(allowed), style="green")
    row("  by the seat", included, "within the included allowance", "cyan")
    row("  as extra usage", len(allowed) - included, "within every limit", "blue")
    row("refused", refusals.total(), style="yellow")
    for (reason, level), count in refusals.most_common():
        row(f"  {reason}", count, f"level: {level}", "yellow")
    if unannounced := sum(each.task.fate == "unannounced" for each in outcomes):
        row("not asked", unannounced, "reported afterwards all the same")
    if known := sum(each.task.known is not None for each in outcomes):
        row("known before", known, "in the ledger since an earlier run")
    for message, count in rejections.most_common():
        row("not accepted", count, message, "magenta")
    if run.failures:
        row("failed", len(run.failures), run.failures[0], "red")
    return grid


def _events(run: Run) -> Table:
    """Show what was reported, and that it counted once."""
    events = [each for each in run.outcomes if each.recording is not None]
    grid = _grid("left", "right", "left")

    def row(name: str, count: int, note: str) -> None:
        grid.add_row(name, f"{count:,}", Text(note, "dim"))

    row("events recorded", sum(each.recorded > 0 for each in events), "each is one ledger line")
    if repeated := sum(each.duplicates > 0 for each in events):
        taken_twice = sum(each.recorded > 1 for each in events)
        said = f"{taken_twice:,} billed twice" if taken_twice else "none billed twice"
        row("  delivered again", repeated, f"answered as duplicates, {said}")
    if unpriced := sum(each.recording.source == "unpriced" for each in events if each.recording):
        row("  without a price", unpriced, "kept, and charged once there is one")
    if over := sum(each.task.fate == "underestimated" and each.allowed for each in events):
        row("  beyond their hold", over, "charged where every limit allows it, else unbilled")
    if released := sum(each.released for each in run.outcomes):
        row("holds released", released, "authorized, and never made")
    return grid


def _money(run: Run) -> Table:
    recordings = [each.recording for each in run.outcomes if each.recording and each.recorded]
    included = sum(recording.included for recording in recordings)
    charged = sum(recording.charged for recording in recordings)
    unbilled = sum(recording.unbilled for recording in recordings)
    grid = _grid("left", "right", "left")
    grid.add_row(Text("included", "cyan"), _exact(included), Text("paid by the seats", "dim"))
    grid.add_row(Text("extra usage", "blue"), _exact(charged), Text("charged", "dim"))
    grid.add_row("unbilled", _exact(unbilled), Text("beyond a limit: kept, never charged", "dim"))
    return grid


def _organization(console: Console, books: Books, run: Run) -> list[RenderableType]:
    counters = books.counters
    organization = counters.organization
    current = [each for each in counters.budgets if each.period == counters.pool.period]
    used = sum(budget.spent + budget.held for budget in current)
    grid = _grid("left", "left", "left")
    if organization.cap_nanos is None:
        grid.add_row("spent of the cap", "", f"{_usd(used)}, unlimited")
    else:
        grid.add_row(
            "spent of the cap",
            _limit_bar(console, used, organization.cap_nanos, BAR_WIDTH),
            _usd_of(used, organization.cap_nanos),
        )
    if organization.plan == "team":
        spent = sum(each.spent + each.held for each in counters.budgets)
        grid.add_row(
            "spent of the wallet",
            _limit_bar(console, spent, books.given, BAR_WIDTH),
            _usd_of(spent, books.given),
        )
        for reload in run.reloads:
            grid.add_row("reloaded itself", "", Text(reload.told(), "green"))
    return [grid, Text(), _members(console, books, run)]


def _members(console: Console, books: Books, run: Run) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("member", no_wrap=True)
    table.add_column("seat", no_wrap=True)
    for name in ("included", "extra"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("of their limit", no_wrap=True)
    table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("refused", overflow="ellipsis", no_wrap=True)
    by_member: dict[str, list[Outcome]] = {}
    for outcome in run.outcomes:
        by_member.setdefault(outcome.task.person.user_id, []).append(outcome)
    for member in books.counters.members:
        budget = books.counters.budget_of(member.user_id)
        mine = by_member.get(member.user_id, [])
        refusals = Counter(each.refusal[0] for each in mine if each.refusal)
        main_reason = "".join(reason for reason, _ in refusals.most_common(1))
        table.add_row(
            Text(member.name),
            member.seat_tier,
            _usd(budget.included) if budget and budget.included else Text("-", "dim"),
            _usd(budget.spent) if budget and budget.spent else Text("-", "dim"),
            _own_limit(console, books, member, budget),
            f"{sum(each.allowed for each in mine):,}",
            Text(f"{refusals.total():>4,}  {REASONS.get(main_reason, main_reason)}", "yellow")
            if refusals
            else Text("   -", "dim"),
        )
    return table


def _own_limit(console: Console, books: Books, member: Member, budget: Budget | None) -> Text:
    organization = books.counters.organization
    if not admits(organization, member):
        return Text("not admitted to extra", "dim")
    if not member.continues:
        return Text("chose not to continue", "dim")
    limits = effective_limits(organization, member)
    if not limits:
        return Text("no limit of their own", "dim")
    limit = min(limits, key=lambda each: each.amount_nanos)
    used = limit_used(budget, limit.period) if budget else 0
    return Text.assemble(
        _limit_bar(console, used, limit.amount_nanos, SMALL_BAR_WIDTH),
        f" {_usd(limit.amount_nanos)} ",
        ("own" if limit.source == "user" else "tier", "dim"),
    )


def _performance(run: Run) -> Table:
    authorize = [each.authorize_seconds for each in run.outcomes if each.authorize_seconds]
    record = list(chain.from_iterable(each.record_seconds for each in run.outcomes))
    allowed = sum(each.allowed for each in run.outcomes)
    grid = _grid("left", "left")
    pace = len(run.outcomes) / run.seconds if run.seconds else 0
    grid.add_row(
        "pace",
        f"{len(run.outcomes):,} requests in {run.seconds:.1f} s, {pace:.0f} a second, "
        f"by {run.clients} clients at a time",
    )
    grid.add_row("authorize", _latency(authorize))
    grid.add_row("record", _latency(record))
    if repeated := sum(each.repeated for each in run.outcomes):
        grid.add_row("repeated", f"{repeated:,} calls, as the answers asked")
    if allowed:
        parts = [
            f"{run.writes.get(kind, 0) / allowed:.2f} {kind}" for kind in (*KINDS.values(), OTHER)
        ]
        grid.add_row(
            "writes",
            f"{sum(run.writes.values()) / allowed:.2f} items an authorized request: "
            + ", ".join(parts),
        )
    grid.add_row(
        "",
        Text(
            "Times are the clients', through the emulated gateway and Lambda. Writes are all that\n"
            "changed an item, from the table's stream; refused ones are not in it.",
            "dim",
        ),
    )
    return grid


def _checks(console: Console, proof: Proof) -> Table:
    good, bad = ("✓", "✗") if _is_unicode(console) else ("ok", "FAILED")
    grid = _grid("left", "left", "left")
    for check in proof.checks:
        sign = Text(good, "bold green") if check.holds else Text(bad, "bold red")
        grid.add_row(sign, check.claim, Text(check.tested, "dim"))
    if proof.foreign_holds:
        note = f"{proof.foreign_holds} holds were open before this run; they expire by themselves"
        grid.add_row("", Text(note, "dim"))
    return grid


def _findings(proof: Proof) -> Iterator[Text]:
    """What does not hold, in full sentences and cut to a few."""
    for check in proof.checks:
        if check.holds:
            continue
        yield Text(f"\nNot so: {check.claim}", "bold red")
        for finding in check.findings[:FINDINGS_SHOWN]:
            yield Text(f"  {finding}", "red")
        if len(check.findings) > FINDINGS_SHOWN:
            yield Text(f"  and {len(check.findings) - FINDINGS_SHOWN:,} more", "red")


def _verdict(run: Run) -> Text:
    if not run.proof.holds:
        return Text("The proof failed.", "bold red")
    if run.failures:
        return Text("The proof holds, but some requests got no answer.", "bold red")
    return Text("The proof holds.", "bold green")


def _organization_heading(books: Books) -> Text:
    organization, pool = books.counters.organization, books.counters.pool
    title = f"{organization.name}, {organization.plan}"
    return _heading(title, f"money so far in {pool.period}, requests of this run")


def _heading(title: str, note: str = "") -> Text:
    text = Text.assemble("\n", (title, "bold"))
    if note:
        text.append(f"  {note}", "dim")
    return text


def _grid(*justify: str) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for index, side in enumerate(justify):
        last = index + 1 == len(justify)
        grid.add_column(justify=side, no_wrap=not last)  # type: ignore[arg-type]
    return grid


def _limit_bar(console: Console, used: int, limit: int, width: int) -> Text:
    share = used / limit if limit else 1.0
    style = "red" if share >= 0.9 else "yellow" if share >= 0.75 else "green"
    return _bar(console, used, limit, width, style)


def _bar(console: Console, part: int, whole: int, width: int, style: str) -> Text:
    """Draw a share: something is never drawn as nothing, nor less than all as all."""
    full, empty = ("█", "░") if _is_unicode(console) else ("#", ".")
    filled = min(width, ceil(width * part / whole)) if whole > 0 else 0
    if 0 < part < whole:
        filled = min(filled, width - 1)
    return Text.assemble((full * filled, style), (empty * (width - filled), "dim"))


def _is_unicode(console: Console) -> bool:
    return not console.options.ascii_only


def _latency(seconds: Iterable[float]) -> str:
    ordered = sorted(seconds)
    if not ordered:
        return "no calls"
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * p))] for p in (0.50, 0.99))
    return f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, {len(ordered):,} calls"


def _usd(nanos: int) -> str:
    """Dollars and cents, for the eye: rounded to the nearest cent."""
    cents = (abs(nanos) + 5_000_000) // 10_000_000
    return f"{'-' if nanos < 0 else ''}${cents // 100:,}.{cents % 100:02d}"


def _usd_of(part: int, whole: int) -> str:
    share = f", {100 * part / whole:.0f} %" if whole else ""
    return f"{_usd(part)} of {_usd(whole)}{share}"


def _exact(nanos: int) -> str:
    """Dollars to the nano."""
    units, rest = divmod(abs(nanos), NANOS_PER_UNIT)
    return f"{'-' if nanos < 0 else ''}${units:,}.{rest:09d}"
