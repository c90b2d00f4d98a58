"""`credence train`: a scorecard under differential privacy, through the privacy ledger.

The only command beside `credence demo` that needs the training extra; nothing that serves imports this module.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from api.cli.schema_file import load_schema
from api.cli.terminal import USAGE, CommandFailed, LateProgress, format_epsilon, parse_exact, print_json, print_rows
from api.clock import now_ms
from api.keystore import sync_folder
from api.settings import Settings, load_settings
from scoring.card import DataKind
from scoring.dp.accounting import epsilon_micro_of_rho
from scoring.dp.key_file import load_key
from scoring.dp.ledger import Account, Ledger
from scoring.dp.split import MAX_HOLDOUT_PPM, Side, Split
from scoring.errors import ArtifactExists, BudgetExceeded, PopulationChanged, SplitChanged, ValueInvalid
from scoring.population import synthetic_population, training_rows
from scoring.rows import Row, read_rows
from scoring.schema import Schema, parse_schema

try:
    from scoring.training import ALGORITHMS, ModelKind, Trained, TrainingParameters, train_model
except ModuleNotFoundError as missing:
    raise CommandFailed(f"Training needs {missing.name}: pip install 'credence[training]'.") from None

SYNTHETIC_PEOPLE, SYNTHETIC_SEED = 10_000, 1


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One training, its amounts exact: epsilons in millionths, delta in 1e-12."""

    kind: ModelKind
    load_rows: Callable[[], Sequence[Row]]
    schema: Schema
    population: str
    holder: str
    data_kind: DataKind
    epsilon_micro: int
    delta_e12: int
    budget_micro: int
    row_cap: int
    holdout_ppm: int | None = None
    out: Path


def run_training(
    *,
    model: str,
    data: str,
    schema_path: Path | None,
    population: str,
    epsilon: str,
    delta: str,
    budget: str,
    row_cap: int,
    holdout: str | None,
    out: Path,
    holder: str | None,
    data_kind: str,
    as_json: bool,
) -> None:
    """Train as the options say, and print what it cost and what it made."""
    of_model: ModelKind | None = next((one for one in ALGORITHMS if one == model), None)
    if of_model is None:
        raise CommandFailed(f"--model is one of {', '.join(ALGORITHMS)}.", exit_code=USAGE)
    load_rows, schema, kind = find_data(data, schema_path, data_kind)
    run = TrainingRun(
        kind=of_model,
        load_rows=load_rows,
        schema=schema,
        population=population,
        holder=holder or population,
        data_kind=kind,
        epsilon_micro=parse_exact(epsilon, 6, "--epsilon"),
        delta_e12=parse_exact(delta, 12, "--delta"),
        budget_micro=parse_exact(budget, 6, "--budget"),
        row_cap=row_cap,
        holdout_ppm=None if holdout is None else _parse_share(holdout, "--holdout"),
        out=out,
    )
    trained, account = train(run, load_settings())
    _report(run, trained, account, as_json=as_json)


def train(run: TrainingRun, settings: Settings) -> tuple[Trained, Account]:
    """Train, or find the model that the same training made before; also the population's account after it.

    Raises `ScoringError`, or `CommandFailed` where more can be said to a person.
    """
    ledger = open_ledger(settings)
    run.out.parent.mkdir(parents=True, exist_ok=True)
    parameters = TrainingParameters(epsilon_micro=run.epsilon_micro, delta_e12=run.delta_e12, row_cap=run.row_cap)
    split = None
    if run.holdout_ppm is not None:
        split = load_split(settings, ledger, run.population, run.holdout_ppm)
    try:
        ledger.open_population(
            run.population,
            holder=run.holder,
            person=run.schema.person,
            epsilon_micro=run.budget_micro,
            delta_e12=run.delta_e12,
            now_ms=now_ms(),
        )
        with LateProgress() as progress:
            trained = train_model(
                run.load_rows,
                run.schema,
                kind=run.kind,
                parameters=parameters,
                population=run.population,
                data_kind=run.data_kind,
                ledger=ledger,
                reuse_key=load_reuse_key(settings),
                split=split,
                out=run.out,
                now_ms=now_ms(),
                progress=progress.show,
            )
    except BudgetExceeded as refused:
        left = format_epsilon(remaining_epsilon_micro(ledger.load_account(run.population), side_of(run)))
        raise CommandFailed(f"{refused} What is left pays for one training of epsilon {left}.") from None
    except PopulationChanged:
        account = ledger.load_account(run.population)
        raise CommandFailed(
            f"The population stands in the privacy ledger with holder {account.holder}, person column "
            f"{account.person or 'none'}, budget {format_epsilon(account.epsilon_micro)} and delta "
            f"{account.delta_e12 / 1e12:g}; these are fixed."
        ) from None
    except SplitChanged:
        raise OtherSplit(ledger.load_holdout_ppm(run.population)) from None
    except ArtifactExists:
        raise ModelInTheWay(run.out) from None
    except ValueInvalid as refused:
        raise CommandFailed(f"{refused} The column is {refused.feature}.") from None
    return trained, ledger.load_account(run.population)


def find_data(
    data: str, schema_path: Path | None, data_kind: str
) -> tuple[Callable[[], Sequence[Row]], Schema, DataKind]:
    """What reads the rows that `--data` names, their schema and kind; raises `CommandFailed`."""
    load_rows: Callable[[], Sequence[Row]]
    kind: DataKind
    if data == "synthetic":
        schema, kind = load_synthetic_schema() if schema_path is None else load_schema(schema_path), "synthetic"

        def load_rows() -> Sequence[Row]:
            return synthetic_rows(schema)
    else:
        if schema_path is None:
            raise CommandFailed("--schema is needed for data of your own.", exit_code=USAGE)
        if data_kind == "private":
            kind = "private"
        elif data_kind == "public_benchmark":
            kind = "public_benchmark"
        else:
            raise CommandFailed("--data-kind is private or public_benchmark.", exit_code=USAGE)
        schema, path = load_schema(schema_path), Path(data)
        if not path.is_file():
            raise CommandFailed(f"{path} is not a file.", exit_code=USAGE)

        def load_rows() -> Sequence[Row]:
            return read_rows(path)

    return load_rows, schema, kind


def open_ledger(settings: Settings) -> Ledger:
    """The privacy ledger, `var/ledger/privacy.jsonl`; the keys of its holder stand apart from it, in `var/keys`."""
    ledger_folder = settings.var / "ledger"
    ledger_folder.mkdir(parents=True, exist_ok=True)
    (settings.var / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_folder(settings.var)  # the ledger syncs its file and its folder's names; the folder must last as well
    return Ledger(ledger_folder / "privacy.jsonl")


def load_reuse_key(settings: Settings) -> bytes:
    """The key by which the ledger finds what was done before."""
    return load_key(settings.var / "keys" / "reuse.key", secrets.token_bytes)


class OtherSplit(CommandFailed):
    """The population was split otherwise before."""

    def __init__(self, holdout_ppm: int) -> None:
        super().__init__(
            f"The population stands in the privacy ledger with a holdout of {holdout_ppm / 1_000_000:g} under a key of "
            "its own: give that share, and the split.key that it was split with."
        )


class ModelInTheWay(CommandFailed):
    """Something that this training did not make lies where its model should go."""

    def __init__(self, out: Path) -> None:
        super().__init__(f"{out} holds another model already, and a model is never written over: choose another --out.")


def load_synthetic_schema() -> Schema:
    """The schema of the synthetic population, as it is packaged."""
    return parse_schema(files("scoring").joinpath("schemas/synthetic.toml").read_bytes())


def synthetic_rows(schema: Schema) -> Sequence[Row]:
    """The rows of the synthetic population that `--data synthetic` means, the same every time."""
    return training_rows(schema, synthetic_population(SYNTHETIC_PEOPLE, SYNTHETIC_SEED))


def load_split(settings: Settings, ledger: Ledger, population: str, holdout_ppm: int) -> Split:
    """Who of a population is held out, by the key in `var/keys`; it is made for the first population that is split."""
    path = settings.var / "keys" / "split.key"
    if not path.exists() and any(entry.type == "split" for entry in ledger.load_entries()):
        # A new key would split the next population, and be in the way of the old one when that is restored.
        raise CommandFailed(f"{path} is missing, by which the privacy ledger's populations are split: restore it.")
    key = load_key(path, secrets.token_bytes)
    return Split.of_population(key, population, holdout_ppm=holdout_ppm)


def side_of(run: TrainingRun) -> Side:
    """Whom a training is charged to."""
    return "all" if run.holdout_ppm is None else "train"


def remaining_epsilon_micro(account: Account, side: Side) -> int:
    """The epsilon of one more charge for a side that spends all it may; epsilons do not add up, their rhos do."""
    left_rho_e12 = account.left_rho_e12(side)
    return epsilon_micro_of_rho(left_rho_e12, account.delta_e12) if left_rho_e12 > 0 else 0


def _parse_share(text: str, option: str) -> int:
    """A share as millionths."""
    share_ppm = parse_exact(text, 6, option)
    if share_ppm > MAX_HOLDOUT_PPM:
        raise CommandFailed(f"{option} is at most {MAX_HOLDOUT_PPM / 1_000_000:g}.", exit_code=USAGE)
    return share_ppm


def _report(run: TrainingRun, trained: Trained, account: Account, *, as_json: bool) -> None:
    digest, left_micro = trained.artifact.digest.hex(), remaining_epsilon_micro(account, side_of(run))
    if as_json:
        print_json(
            {
                "model_sha256": digest,
                "directory": str(trained.directory),
                "reused": trained.reused,
                "data_kind": trained.artifact.card.data_kind,
                "population": run.population,
                "holdout_ppm": run.holdout_ppm,
                "epsilon_micro": run.epsilon_micro,
                "delta_e12": run.delta_e12,
                "charged_epsilon_micro": 0 if trained.reused else run.epsilon_micro,
                "spent_epsilon_micro": account.spent_epsilon_micro,
                "budget_epsilon_micro": account.epsilon_micro,
                "remaining_epsilon_micro": left_micro,
            }
        )
        return
    spent = format_epsilon(account.spent_epsilon_micro)
    print("Found the model of this very training; nothing was spent." if trained.reused else "Trained.")
    print_rows(
        [
            ("model", digest),
            ("in", trained.directory),
            ("data", f"{trained.artifact.card.data_kind}, population {run.population}"),
            ("held out", None if run.holdout_ppm is None else f"{run.holdout_ppm / 10_000:g}% of the persons"),
            ("epsilon", f"{format_epsilon(run.epsilon_micro)} at delta {run.delta_e12 / 1e12:g}, a person's"),
            ("charged now", format_epsilon(0 if trained.reused else run.epsilon_micro)),
            ("spent in all", f"{spent} of {format_epsilon(account.epsilon_micro)}"),
            ("remaining", f"one training of {format_epsilon(left_micro)}"),
        ]
    )
