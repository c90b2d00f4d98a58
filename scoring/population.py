"""A SYNTHETIC population with documented causes: claims of the nine credential types, and whether a loan went bad.

No figure comes from a real person or institution. Causes, each standard normal over the population:
- discipline: pays on time, attends, keeps a balance, repays advances;
- stability: how little income varies from month to month;
- means: how large the amounts are;
- shock: an illness, a lost harvest or a lost job since; it lowers recent income and delays recent payments, and
  weighs on the outcome beyond what any credential shows.
The chance of a bad loan is the logistic of BASE - .95 discipline - .6 stability - .35 means + .7 shock, plus its
institution's own share. Institutions differ in what their customers carry, in how large amounts are, and in risk.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from scoring.expression import Value
from scoring.features import ClaimSet, Json, extract_features
from scoring.schema import Schema

BASE_LOG_ODDS = -2.15
CURRENCY = "KES"
MONTHS = 6
PERIOD_TO = date(2026, 10, 31)
_DISCIPLINE, _STABILITY, _MEANS, _SHOCK = -0.95, -0.6, -0.35, 0.7


@dataclass(frozen=True, kw_only=True)
class Institution:
    """A synthetic lender: the chance that a customer carries each type, the scale of amounts, its own risk."""

    name: str
    carries: Mapping[str, float]
    scale: float
    log_odds: float


@dataclass(frozen=True, kw_only=True)
class Person:
    """A synthetic person: claims by credential type (one credential a type), and the outcome."""

    id: str
    institution: str
    claims: Mapping[str, Mapping[str, Json]]
    defaulted: bool


@dataclass(frozen=True, kw_only=True)
class _Causes:
    """What is behind one person's figures."""

    source: random.Random
    discipline: float
    stability: float
    means: float
    shock: float
    scale: float
    period_to: date

    def chance(self, log_odds: float) -> bool:
        return self.source.random() < _logistic(log_odds)

    def count_of(self, trials: int, log_odds: float) -> int:
        probability = _logistic(log_odds)
        return sum(self.source.random() < probability for _ in range(trials))

    def monthly_minor(self, usual: float) -> list[int]:
        """Amounts newest first, in minor units; unstable incomes vary, and a shock cuts the last two months."""
        spread = 0.45 * math.exp(-0.45 * self.stability)
        level = usual * self.scale * math.exp(0.6 * self.means)
        cut = [0.22 * max(self.shock, 0.0)] * 2 + [0.0] * (MONTHS - 2)
        return [max(0, round(100 * level * math.exp(self.source.gauss(-loss, spread)))) for loss in cut]

    def late_days(self) -> list[int]:
        """Days late by month: none for most, weeks for the undisciplined, more in the last two months of a shock."""
        odds = [-1.4 - 1.1 * self.discipline + (0.8 * self.shock if month < 2 else 0.0) for month in range(MONTHS)]
        return [self.source.randint(1, 12) + self.count_of(20, -2.0 + log) if self.chance(log) else 0 for log in odds]

    def envelope(self, months: int = MONTHS) -> dict[str, Json]:
        return {
            "period_from": _month_start(self.period_to, months - 1).isoformat(),
            "period_to": self.period_to.isoformat(),
            "currency": CURRENCY,
            "evidence_level": "system_of_record",
        }


def synthetic_population(count: int, seed: int, *, period_to: date = PERIOD_TO) -> tuple[Person, ...]:
    """`count` synthetic people, the same for the same arguments; figures cover the six months to `period_to`."""
    source = random.Random(f"credence synthetic population {seed}")  # noqa: S311 - nobody's data, nobody's secret
    return tuple(_make_person(source, number, period_to) for number in range(count))


def training_rows(schema: Schema, people: Sequence[Person]) -> list[dict[str, str]]:
    """A row a person, each value read from the person's claims exactly as serving reads it; absent is empty."""
    rows = []
    for person in people:
        claims = {vct: [ClaimSet(issued_at_ms=0, claims=one)] for vct, one in person.claims.items()}
        values = extract_features(schema, claims, now_ms=0).values
        row = {feature.name: _write(value) for feature, value in zip(schema.features, values, strict=False)}
        if schema.person is not None:
            row[schema.person] = person.id
        rows.append({**row, "institution": person.institution, schema.label: str(int(person.defaulted))})
    return rows


def _make_person(source: random.Random, number: int, period_to: date) -> Person:
    institution = source.choice(INSTITUTIONS)
    causes = _Causes(
        source=source,
        discipline=source.gauss(0, 1),
        stability=source.gauss(0, 1),
        means=source.gauss(0, 1),
        shock=source.gauss(0, 1),
        scale=institution.scale,
        period_to=period_to,
    )
    carried = {vct for vct in _CLAIMS if source.random() < institution.carries[vct]}
    if len(carried) < 2:  # nobody applies with less
        carried.update(source.sample(list(_CLAIMS), 2))
    log_odds = (
        BASE_LOG_ODDS
        + institution.log_odds
        + _DISCIPLINE * causes.discipline
        + _STABILITY * causes.stability
        + _MEANS * causes.means
        + _SHOCK * causes.shock
    )
    return Person(
        id=f"synthetic-{number:06d}",
        institution=institution.name,
        claims={vct: _CLAIMS[vct](causes) for vct in _CLAIMS if vct in carried},
        defaulted=causes.chance(log_odds),
    )


def _mobile_money(causes: _Causes) -> dict[str, Json]:
    inflow = causes.monthly_minor(18_000)
    kept = [0.04 * math.exp(0.5 * causes.discipline) * amount for amount in inflow]
    return {
        **causes.envelope(),
        "inflow_minor": inflow,
        "outflow_minor": [max(0, amount - round(rest)) for amount, rest in zip(inflow, kept, strict=True)],
        "in_n": [causes.source.randint(3, 20) for _ in inflow],
        "out_n": [causes.source.randint(8, 60) for _ in inflow],
        "merchant_payment_n": [causes.source.randint(0, 25) for _ in inflow],
        "bill_payment_n": [causes.source.randint(0, 6) for _ in inflow],
        "balance_median_minor": [round(rest) for rest in kept],
        "floor_minor": 10_000,
        "days_below_floor": [
            causes.count_of(
                28, -1.2 - 0.7 * causes.discipline - 0.3 * causes.means + (0.5 * causes.shock if n < 2 else 0)
            )
            for n in range(MONTHS)
        ],
        "reversal_n": [causes.count_of(2, -2.5) for _ in inflow],
    }


def _airtime(causes: _Causes) -> dict[str, Json]:
    advances = [causes.count_of(6, -1.0 - 0.4 * causes.means) for _ in range(MONTHS)]
    return {
        **causes.envelope(),
        "topup_n": [causes.source.randint(2, 20) for _ in advances],
        "topup_minor": causes.monthly_minor(600),
        "gap_median_days": [1 + causes.count_of(20, -1.6 - 0.5 * causes.stability) for _ in advances],
        "advance_n": advances,
        "advance_on_time_n": [causes.count_of(taken, 1.3 + 1.1 * causes.discipline) for taken in advances],
    }


def _recurring_bill(causes: _Causes) -> dict[str, Json]:
    late = causes.late_days()
    return {
        **causes.envelope(),
        "bill_kind": causes.source.choice(("electricity", "water", "rent", "pay_as_you_go")),
        "due_n": [1] * MONTHS,
        "on_time_n": [int(days == 0) for days in late],
        "late_days_max": late,
        "amount_median_minor": causes.monthly_minor(2_500)[-1],
        "tenure_months": round(18 * math.exp(0.6 * causes.stability + causes.source.gauss(0, 0.6))),
    }


def _gig_income(causes: _Causes) -> dict[str, Json]:
    weeks = [causes.count_of(5, 0.9 + 0.8 * causes.stability - (0.5 * causes.shock if n < 2 else 0)) for n in range(6)]
    usual = causes.monthly_minor(14_000)
    return {
        **causes.envelope(),
        "net_minor": [round(amount * worked / 4) for amount, worked in zip(usual, weeks, strict=True)],
        "active_weeks": weeks,
        "job_n": [worked * causes.source.randint(3, 12) for worked in weeks],
    }


def _remittance(causes: _Causes) -> dict[str, Json]:
    senders = [causes.count_of(4, -0.6 + 0.5 * causes.stability) for _ in range(MONTHS)]
    usual = causes.monthly_minor(7_000)
    return {
        **causes.envelope(),
        "corridor_from": causes.source.choice(("GB", "US", "SA", "ZA")),
        "corridor_to": "KE",
        "received_n": [count + causes.count_of(2, 0) if count else 0 for count in senders],
        "received_minor": [amount if count else 0 for amount, count in zip(usual, senders, strict=True)],
        "sender_n": senders,
    }


def _savings_group(causes: _Causes) -> dict[str, Json]:
    held = [causes.source.choice((4, 4, 5)) for _ in range(MONTHS)]
    due = causes.source.randint(0, 6)
    return {
        **causes.envelope(),
        "cycle": causes.source.randint(1, 8),
        "share_value_minor": 20_000,
        "share_n": [causes.count_of(15, -0.8 + 0.5 * causes.means + 0.3 * causes.discipline) for _ in held],
        "meeting_n": held,
        "attended_n": [causes.count_of(meetings, 1.6 + 1.0 * causes.discipline) for meetings in held],
        "fine_minor": [5_000 * causes.count_of(2, -2.0 - causes.discipline) for _ in held],
        "loan_principal_minor": causes.monthly_minor(4_000)[-1] if due else 0,
        "loan_due_n": due,
        "loan_on_time_n": causes.count_of(due, 1.2 + 1.1 * causes.discipline),
        "share_out_minor": 0,
    }


def _agri_delivery(causes: _Causes) -> dict[str, Json]:
    kilograms = [amount // 4_500 for amount in causes.monthly_minor(9_000)]
    advance = causes.monthly_minor(8_000)[-1]
    repaid = causes.count_of(20, 1.5 + 1.2 * causes.discipline - 0.6 * causes.shock) / 20
    return {
        **causes.envelope(),
        "crop": causes.source.choice(("maize", "coffee-cherry", "tea")),
        "season": f"{causes.period_to.year}A",
        "delivered_kg": kilograms,
        "paid_minor": [4_500 * amount for amount in kilograms],
        "price_per_kg_minor": 4_500,
        "advance_minor": advance,
        "advance_repaid_minor": round(advance * repaid),
    }


def _loan_outcome(causes: _Causes) -> dict[str, Json]:
    due = causes.source.choice((6, 12, 12, 18, 24))
    on_time = causes.count_of(due, 1.6 + 1.2 * causes.discipline)
    late = due - on_time
    return {
        **causes.envelope(due + 1),
        "principal_minor": causes.monthly_minor(25_000)[-1],
        "instalment_due_n": due,
        "instalment_on_time_n": on_time,
        "days_past_due_max": min(120, late * causes.source.randint(3, 10)) if late else 0,
        "loan_status": "repaid" if causes.chance(1.5 + causes.discipline) else "active",
    }


def _repayment_history(causes: _Causes) -> dict[str, Json]:
    line = max(100_000, causes.monthly_minor(40_000)[-1])
    used = _logistic(-0.4 - 0.6 * causes.discipline + 0.3 * causes.shock)
    statements = [round(line * min(1.1, max(0.0, causes.source.gauss(used, 0.12)))) for _ in range(MONTHS)]
    late = [-(-days // 15) for days in causes.late_days()]
    delays = [months or causes.source.choice((0, -1)) for months in late]
    return {
        **causes.envelope(),
        "credit_line_minor": line,
        "statement_minor": statements,
        "paid_minor": [
            0 if delay > 0 else owed if delay == -1 else owed // 10
            for owed, delay in zip(statements, delays, strict=True)
        ],
        "delay_months": delays,
    }


_CLAIMS: Mapping[str, Callable[[_Causes], dict[str, Json]]] = {
    "urn:credence:mobile-money:1": _mobile_money,
    "urn:credence:airtime:1": _airtime,
    "urn:credence:recurring-bill:1": _recurring_bill,
    "urn:credence:gig-income:1": _gig_income,
    "urn:credence:remittance:1": _remittance,
    "urn:credence:savings-group:1": _savings_group,
    "urn:credence:agri-delivery:1": _agri_delivery,
    "urn:credence:loan-outcome:1": _loan_outcome,
    "urn:credence:repayment-history:1": _repayment_history,
}


def _institution(name: str, chances: Sequence[float], *, scale: float, log_odds: float) -> Institution:
    return Institution(name=name, carries=dict(zip(_CLAIMS, chances, strict=True)), scale=scale, log_odds=log_odds)


INSTITUTIONS = (  # mobile money, airtime, bill, gig, remittance, savings group, farm, loan, credit line
    _institution("synthetic-bank", (0.7, 0.3, 0.8, 0.2, 0.3, 0.1, 0.05, 0.6, 0.7), scale=1.6, log_odds=-0.3),
    _institution("synthetic-microfinance", (0.8, 0.5, 0.5, 0.3, 0.3, 0.5, 0.2, 0.6, 0.15), scale=0.9, log_odds=0.2),
    _institution("synthetic-cooperative", (0.7, 0.4, 0.3, 0.05, 0.3, 0.7, 0.8, 0.4, 0.05), scale=0.8, log_odds=-0.1),
    _institution("synthetic-fintech", (0.95, 0.7, 0.5, 0.6, 0.2, 0.1, 0.05, 0.3, 0.2), scale=1.1, log_odds=0.35),
)


def _write(value: Value) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(value)


def _logistic(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))


def _month_start(day: date, months_before: int) -> date:
    first = day.replace(day=1)
    for _ in range(months_before):
        first = (first - timedelta(days=1)).replace(day=1)
    return first
