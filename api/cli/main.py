"""The command line: every command's name, options and help.

A command's module is imported when it runs, because most are heavy and none needs what another does: verifying loads
no database, serving loads no training library.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from api.cli.terminal import FAILED, CommandFailed, print_problem

ROOMS = frozenset({"api", "identity", "scoring", "chain"})

app = typer.Typer(
    help="Private, explainable credit scores from verifiable credentials, anchored where anyone can check them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
clients = typer.Typer(help="OAuth2 clients of a tenant.", no_args_is_help=True)
issuers = typer.Typer(help="The issuers that a tenant trusts.", no_args_is_help=True)
issuer_lists = typer.Typer(help="Signed lists of issuers, and whose a tenant takes.", no_args_is_help=True)
scores = typer.Typer(help="Suspend and revoke scores, with every copy of them.", no_args_is_help=True)
credentials = typer.Typer(help="Suspend and revoke credentials that were issued over OpenID4VCI.", no_args_is_help=True)
wallet_commands = typer.Typer(help="A small scriptable holder of credentials.", no_args_is_help=True)
offers = typer.Typer(help="Credentials by link, for an institution without an issuer.", no_args_is_help=True)
status_lists = typer.Typer(help="The status list of an institution that issues by file.", no_args_is_help=True)
dids = typer.Typer(help="The DID under which an institution issues.", no_args_is_help=True)
tenant_commands = typer.Typer(help="What applicants are told of a tenant.", no_args_is_help=True)
app.add_typer(clients, name="clients")
app.add_typer(dids, name="did")
app.add_typer(offers, name="offers")
app.add_typer(issuers, name="issuers")
issuers.add_typer(issuer_lists, name="lists")
app.add_typer(scores, name="scores")
app.add_typer(credentials, name="credentials")
app.add_typer(status_lists, name="status-list")
app.add_typer(tenant_commands, name="tenants")
app.add_typer(wallet_commands, name="wallet")

AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to standard output.")]
Tenant = Annotated[str, typer.Option(help="The tenant's name; it is made on first mention.")]
TxCode = Annotated[bool, typer.Option("--tx-code", help="Ask for a second code too, to be sent another way.")]
ExpiresInDays = Annotated[int, typer.Option(min=1, max=30, help="How long an offer waits for its wallet.")]
WalletFolder = Annotated[Path, typer.Option("--wallet", help="The wallet's folder: key.jwk and credentials.")]


@app.command()
def demo(as_json: AsJson = False) -> None:
    """Walk one score the whole way, with real parts: train, issue, present, score, anchor, verify offline."""
    from api.cli.demo import run_demo

    run_demo(as_json=as_json)


@app.command()
def serve(
    log_format: Annotated[str, typer.Option(help="Of the lines on standard error: plain or json.")] = "plain",
) -> None:
    """Run the service, with an embedded chain where CREDENCE_RPC_URL is not set."""
    from api.cli.serve import run_service

    if log_format not in {"plain", "json"}:
        raise typer.BadParameter("plain or json", param_hint="--log-format")
    run_service(log_as_json=log_format == "json")


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the database and the subject-key store to this version's tables."""
    from api.cli import tenants

    tenants.migrate_databases(as_json=as_json)


@clients.command("add")
def add_client(
    name: Annotated[str, typer.Argument(help="What people call the client.")],
    scope: Annotated[list[str], typer.Option(help="lender, compliance, operator or metrics; may be repeated.")],
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Make a client; its secret is shown this once and stored only as a hash."""
    from api.cli import tenants

    tenants.add_client(name=name, scopes=frozenset(scope), tenant=tenant, as_json=as_json)


@clients.command("disable")
def disable_client(
    client_id: Annotated[str, typer.Argument(help="The client's id, cli_…")], as_json: AsJson = False
) -> None:
    """Disable a client for good: it gets no token, and those that it has are refused."""
    from api.cli import tenants

    tenants.disable_client(client_id=client_id, as_json=as_json)


@tenant_commands.command("describe")
def describe_tenant(
    tenant: Annotated[str, typer.Argument(help="The tenant's name; it is made on first mention.")],
    display_name: Annotated[str | None, typer.Option(help="What the lender is called.")] = None,
    contact: Annotated[str | None, typer.Option(help="A mailto: or https: URL for questions about data.")] = None,
    privacy_notice: Annotated[str | None, typer.Option(help="The https: URL of the lender's privacy notice.")] = None,
    jurisdiction: Annotated[str | None, typer.Option(help="ISO 3166 code of the law that holds, such as KE.")] = None,
    retention_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days that the lender keeps scores.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what consent receipts tell of a tenant from now on; what is not given stays as it was."""
    from api.cli import tenants

    tenants.describe_tenant(
        tenant=tenant,
        display_name=display_name,
        contact=contact,
        privacy_notice=privacy_notice,
        jurisdiction=jurisdiction,
        retention_days=retention_days,
        as_json=as_json,
    )


@issuers.command("trust")
def trust_issuer(
    did: Annotated[str, typer.Argument(help="The issuer's did:key, did:jwk or did:web.")],
    type_: Annotated[str, typer.Option("--type", help="A credential type: its vct, or its short name.")],
    valid_from: Annotated[str | None, typer.Option(help="From when, such as 2026-11-22T09:30:00Z.  [now]")] = None,
    valid_to: Annotated[str | None, typer.Option(help="Until when.  [without an end]")] = None,
    evidence: Annotated[
        str,
        typer.Option(help="The most its credentials count as: system_of_record, agent_attested or self_declared."),
    ] = "system_of_record",
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Trust an issuer, whose DID must resolve now, for one credential type."""
    from api.cli import issuers

    issuers.trust_issuer(
        did=did,
        type_name=type_,
        tenant=tenant,
        valid_from=valid_from,
        valid_to=valid_to,
        evidence_level=evidence,
        as_json=as_json,
    )


@issuers.command("distrust")
def distrust_issuer(
    did: Annotated[str, typer.Argument(help="The issuer's DID.")],
    type_: Annotated[str, typer.Option("--type", help="A credential type: its vct, or its short name.")],
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Trust an issuer for one credential type no longer, whatever an issuer list says."""
    from api.cli import issuers

    issuers.distrust_issuer(did=did, type_name=type_, tenant=tenant, as_json=as_json)


@issuers.command("list")
def list_issuers(tenant: Tenant = "default", as_json: AsJson = False) -> None:
    """List the issuers that a tenant trusts."""
    from api.cli import issuers

    issuers.list_issuers(tenant=tenant, as_json=as_json)


@issuers.command("import")
def import_issuer_list(
    file: Annotated[Path, typer.Argument(help="An issuer list whose signer is pinned.")],
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Trust whom a signed list names, and nobody whom only its predecessor named: all of it, or nothing."""
    from api.cli import issuers

    issuers.import_list(file=file, tenant=tenant, as_json=as_json)


@issuers.command("sign")
def sign_issuer_list(
    csv: Annotated[Path, typer.Option(help="One issuer a row: did, type, valid_from, valid_to, evidence_level.")],
    key: Annotated[Path, typer.Option(help="The signer's private JWK, as `credence wallet keys` makes one.")],
    sequence: Annotated[int, typer.Option(min=0, help="Higher than that of every list signed before.")],
    out: Annotated[Path, typer.Option(help="A new file for the list.")],
    valid_days: Annotated[int, typer.Option(min=1, max=3650, help="When it ends unless a later one comes.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Sign a list of issuers, for those who have pinned the key's DID."""
    from api.cli import issuers

    issuers.sign_list(csv_path=csv, key_path=key, sequence=sequence, valid_days=valid_days, out=out, as_json=as_json)


@issuer_lists.command("pin")
def pin_list_signer(
    did: Annotated[str, typer.Argument(help="The DID that signs the lists.")],
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Take issuer lists that this DID has signed."""
    from api.cli import issuers

    issuers.pin_signer(did=did, tenant=tenant, as_json=as_json)


@issuer_lists.command("unpin")
def unpin_list_signer(
    did: Annotated[str, typer.Argument(help="The DID that signs the lists.")],
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Take no more lists of this DID and trust nobody on its word; pinned again, it begins anew."""
    from api.cli import issuers

    issuers.unpin_signer(did=did, tenant=tenant, as_json=as_json)


@issuer_lists.command("list")
def show_list_signers(tenant: Tenant = "default", as_json: AsJson = False) -> None:
    """List whose issuer lists a tenant takes, and which it took last."""
    from api.cli import issuers

    issuers.show_signers(tenant=tenant, as_json=as_json)


def _add_status_commands(commands: typer.Typer, what: str, change: str) -> None:
    """Suspend, reinstate and revoke, which scores and credentials have alike."""

    def command(name: str, status: str, help: str) -> None:
        @commands.command(name, help=help)
        def change_status(
            id: Annotated[str, typer.Argument(help=f"The id of the {what}.")],
            reason: Annotated[str, typer.Option(help="A code of why, such as issued_in_error; written to the log.")],
            tenant: Tenant = "default",
            as_json: AsJson = False,
        ) -> None:
            from api.cli import status as status_commands

            run = getattr(status_commands, change)
            run(id, status=status, reason=reason, tenant=tenant, as_json=as_json)

    command("revoke", "revoked", f"Revoke a {what}, for good.")
    command("suspend", "suspended", f"Suspend a {what} until it is reinstated.")
    command("reinstate", "valid", f"Lift the suspension of a {what}.")


_add_status_commands(scores, "score", "change_score")
_add_status_commands(credentials, "credential that was issued over OpenID4VCI", "change_credential")


@app.command()
def train(
    data: Annotated[str, typer.Option(help="A CSV file with a header, or the word synthetic.")],
    population: Annotated[str, typer.Option(help="Whose data it is: the name that the privacy budget stands under.")],
    epsilon: Annotated[str, typer.Option(help="What this training may spend, exact to 0.000001.")],
    delta: Annotated[str, typer.Option(help="The delta of every epsilon here, exact to 1e-12; below 1 / row cap.")],
    budget: Annotated[str, typer.Option(help="The epsilon that the population may ever spend, fixed at first use.")],
    row_cap: Annotated[int, typer.Option(min=1, help="The most rows that are used; public, unlike their number.")],
    out: Annotated[Path, typer.Option(help="The folder that the model artifact is written to.")],
    schema: Annotated[Path | None, typer.Option(help="The schema file; the synthetic data has its own.")] = None,
    holder: Annotated[str | None, typer.Option(help="Who holds the data.  [default: the population's name]")] = None,
    holdout: Annotated[
        str | None, typer.Option(help="The share of persons that is kept for validation, fixed at first use: 0.2.")
    ] = None,
    data_kind: Annotated[str, typer.Option(help="private or public_benchmark.")] = "private",
    model: Annotated[str, typer.Option(help="scorecard, or network: a challenger, which is not served.")] = "scorecard",
    as_json: AsJson = False,
) -> None:
    """Train a model under differential privacy.

    The privacy ledger is charged before any noise is drawn; the same data, schema and parameters again give the same
    model and cost nothing. With --holdout, a keyed hash of the person keeps some for `credence validate`; what either
    side is used for costs the other nothing.
    """
    from api.cli.train import run_training

    run_training(
        model=model,
        data=data,
        schema_path=schema,
        population=population,
        epsilon=epsilon,
        delta=delta,
        budget=budget,
        row_cap=row_cap,
        holdout=holdout,
        out=out,
        holder=holder,
        data_kind=data_kind,
        as_json=as_json,
    )


@app.command("audit-privacy")
def audit_privacy(
    runs: Annotated[
        int | None, typer.Option(min=100, max=1_000_000, help="On either data set.  [10000; 200 where short]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the data; the noise is the operating system's.")] = 1,
    short: Annotated[bool, typer.Option("--short", help="Fewer runs, which bound less sharply.")] = False,
    as_json: AsJson = False,
) -> None:
    """Attack the privacy claim: how well does anyone tell small data with and without one person apart?

    Runs the real samplers and the real fits on at most 50 synthetic rows; nothing is charged to any population. Prints
    what is claimed and what was shown at least, at 99% confidence. Exit code 1: something passes its claim, or a fault
    might go unseen.
    """
    from api.cli.audit_privacy import run_audit

    run_audit(runs=runs, seed=seed, short=short, as_json=as_json)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="A CSV file with a header, gzip'd or not: public or development data.")],
    schema: Annotated[Path, typer.Option(help="The schema file.")],
    epsilon: Annotated[str, typer.Option(help="Epsilons, by commas, each exact to 0.000001.")] = "0.5,1,3,8",
    delta: Annotated[str, typer.Option(help="The delta of every private model, exact to 1e-12.")] = "1e-5",
    folds: Annotated[int, typer.Option(min=2, help="Folds of the stratified split, in the file's order.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Shuffles the folds; the noise derives from it.")] = 7,
    noise_seeds: Annotated[int, typer.Option(min=1, max=100, help="How often each private fit is repeated.")] = 2,
    model: Annotated[str, typer.Option(help="scorecard, network or champion.")] = "scorecard",
    against: Annotated[str, typer.Option(help="Anchors, by commas: dp-ebm, lightgbm, opacus.")] = "",
    as_json: AsJson = False,
) -> None:
    """Measure a model on held-out rows, beside its anchors: for public and development data only.

    The figures are raw and the noise is seeded, so nothing that this prints is private and no model is kept: no row of
    people who were promised privacy may go through it. Every column is used that the schema does not protect, with a
    source in a credential or without.
    """
    from api.cli.evaluate import run_evaluation

    run_evaluation(
        data=data,
        schema_path=schema,
        epsilon=epsilon,
        delta=delta,
        folds=folds,
        seed=seed,
        noise_seeds=noise_seeds,
        model=model,
        against=against,
        as_json=as_json,
    )


@app.command()
def validate(
    model: Annotated[Path, typer.Option(help="The folder of the model, or of the champion.")],
    data: Annotated[str, typer.Option(help="The whole population's CSV file, or the word synthetic.")],
    population: Annotated[str, typer.Option(help="Whose data it is, as `credence train --holdout` was told.")],
    epsilon: Annotated[str, typer.Option(help="What this validation may spend of the holdout, exact to 0.000001.")],
    out: Annotated[Path, typer.Option(help="The file that the report is written to.")],
    challenger: Annotated[Path | None, typer.Option(help="The folder of a model that would take its place.")] = None,
    schema: Annotated[
        Path | None, typer.Option(help="The schema file, with its protected columns; the synthetic data has its own.")
    ] = None,
    delta: Annotated[str | None, typer.Option(help="The population's delta, which is fixed.")] = None,
    data_kind: Annotated[str, typer.Option(help="private or public_benchmark.")] = "private",
    as_json: AsJson = False,
) -> None:
    """Validate a model on the persons held out, under differential privacy.

    One noised histogram is released; discrimination, calibration, fairness, their intervals and the choice between
    champion and challenger are computed from it. The holdout's budget is charged before any noise is drawn; the same
    data, models and parameters again give the same report and cost nothing.
    """
    from api.cli.validate import run_validation

    run_validation(
        model=model,
        challenger=challenger,
        data=data,
        schema_path=schema,
        population=population,
        epsilon=epsilon,
        delta=delta,
        out=out,
        data_kind=data_kind,
        as_json=as_json,
    )


@app.command()
def promote(
    validation: Annotated[Path, typer.Option(help="The report, as `credence validate` wrote it.")],
    model: Annotated[Path, typer.Option(help="The folder of the model to promote.")],
    override: Annotated[
        str | None, typer.Option(help="Why it is promoted though the report does not choose it; it stands in the log.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score with a validated model from the service's next start on, and tell of it in every tenant's log.

    The log entries are durable before the model is taken up. The same command again completes what was cut short, and
    tells nobody twice.
    """
    from api.cli.promote import run_promotion

    run_promotion(validation=validation, model=model, override=override, as_json=as_json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A score document, byte for byte as the service answered it.")],
    trust: Annotated[Path, typer.Option(help="The keys that you trust, as GET /v1/keys gave them to you once.")] = Path(
        "var/trust.json"
    ),
    rpc: Annotated[str | None, typer.Option(help="An EVM node to ask whether the chain agrees.")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a score document, every member of it, without network, service or database.

    Exit code 0: verified. 1: not verified. 2: there was nothing to verify it with.
    """
    from api.cli.verify import run_verification

    run_verification(file, trust_path=trust, rpc_url=rpc, as_json=as_json)


@app.command("verify-receipt")
def verify_receipt(
    file: Annotated[Path, typer.Argument(help="A receipt document, as `credence wallet receipts` keeps it.")],
    trust: Annotated[Path, typer.Option(help="The keys that you trust, as GET /v1/keys gave them to you once.")] = Path(
        "var/trust.json"
    ),
    document: Annotated[Path | None, typer.Option(help="The score document that must be of this receipt.")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a consent receipt and the log entry that commits to it, without network, service or database.

    Exit code 0: verified. 1: not verified. 2: there was nothing to verify it with.
    """
    from api.cli.verify_receipt import run_receipt_verification

    run_receipt_verification(file, trust_path=trust, document=document, as_json=as_json)


@app.command()
def issue(
    type_: Annotated[str, typer.Option("--type", help="The credential type: its vct, or its short name.")],
    csv: Annotated[Path, typer.Option(help="One row a credential.")],
    out: Annotated[Path, typer.Option(help="A new folder for the credentials; with --offer, a new file of links.")],
    key: Annotated[
        Path | None, typer.Option(help="The institution's private JWK, as `credence wallet keys` makes one.")
    ] = None,
    holder: Annotated[
        str | None, typer.Option(help="The holder's public JWK file, or the column that holds its JSON.")
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option(help="The did:web to issue under, or the DID URL of the key in it.  [default: the key's did:jwk]"),
    ] = None,
    status_uri: Annotated[
        str | None, typer.Option(help="Where you will publish out/status-list.jwt; a URI of its own for each run.")
    ] = None,
    valid_days: Annotated[int, typer.Option(min=1, max=3650, help="How long the credentials are valid.")] = 365,
    offer: Annotated[bool, typer.Option("--offer", help="Offer them by link, under the tenant's own issuer.")] = False,
    tenant: Annotated[str, typer.Option(help="Whose offers they are, with --offer.")] = "default",
    tx_code: TxCode = False,
    expires_in_days: ExpiresInDays = 7,
    as_json: AsJson = False,
) -> None:
    """Issue a credential for each row of a CSV file, or with --offer, offer one for each.

    A column is named as the claim is; a claim of several months takes a column a month, newest first: paid_minor[0],
    paid_minor[1] and so on. An empty cell is an absent claim, or the end of its months. A row that does not fit the
    type's schema is refused by its number and the claim's place, and the others are issued; then the exit code is 1.
    """
    if offer:
        from api.cli.offers import offer_rows

        if (key, holder, issuer, status_uri) != (None, None, None, None):
            raise typer.BadParameter("goes without --key, --holder, --issuer and --status-uri", param_hint="--offer")
        offer_rows(
            type_name=type_,
            csv_path=csv,
            out=out,
            tenant=tenant,
            with_tx_code=tx_code,
            expires_in_days=expires_in_days,
            valid_days=valid_days,
            as_json=as_json,
        )
        return
    from api.cli.issue import run_issuing

    if key is None or holder is None:
        raise typer.BadParameter("are needed, or else --offer", param_hint="--key and --holder")
    if tx_code:
        raise typer.BadParameter("goes with --offer", param_hint="--tx-code")
    run_issuing(
        type_name=type_,
        csv_path=csv,
        key_path=key,
        issuer=issuer,
        holder=holder,
        out=out,
        status_uri=status_uri,
        valid_days=valid_days,
        as_json=as_json,
    )


@status_lists.command("sign")
def sign_status_list(
    file: Annotated[Path, typer.Argument(help="The status list, as `credence issue --status-uri` wrote it.")],
    key: Annotated[Path, typer.Option(help="The institution's private JWK, which signed it before.")],
    issuer: Annotated[
        str | None, typer.Option(help="The did:web that issued, or the DID URL of the key in it.")
    ] = None,
    revoke: Annotated[list[int] | None, typer.Option(help="A status index, for good; may be repeated.")] = None,
    suspend: Annotated[list[int] | None, typer.Option(help="A status index, until reinstated.")] = None,
    reinstate: Annotated[list[int] | None, typer.Option(help="A suspended status index.")] = None,
    valid_days: Annotated[int, typer.Option(min=1, max=3650, help="Until when the list is valid.")] = 365,
    as_json: AsJson = False,
) -> None:
    """Change statuses in an institution's own list, or only renew it, and sign it anew in the same file.

    Which index is whose stands in out/issued.csv. Publish the file again: verifiers see the change within its ttl.
    """
    from api.cli.status_list import sign_list

    sign_list(
        file,
        key_path=key,
        issuer=issuer,
        revoke=revoke or [],
        suspend=suspend or [],
        reinstate=reinstate or [],
        valid_days=valid_days,
        as_json=as_json,
    )


@dids.command("document")
def did_document(
    did: Annotated[str, typer.Argument(help="A did:web of a host that is yours.")],
    key: Annotated[
        list[Path], typer.Option(help="A public JWK, as `credence wallet keys` makes one; may be repeated.")
    ],
) -> None:
    """Write the DID document of a did:web, whose keys sign credentials and status lists.

    It is published before the first credential is issued under it. A key is rotated in by publishing the document with
    the new one beside the old one, and out by publishing it without the old one: five minutes later at the latest,
    nothing that the old one signed verifies any more.
    """
    from api.cli.did import print_document

    print_document(did, key)


@offers.command("create")
def create_offer(
    type_: Annotated[str, typer.Option("--type", help="The credential type: its vct, or its short name.")],
    claims: Annotated[Path, typer.Option(help="All claims of the type, as a JSON object.")],
    tenant: Tenant = "default",
    tx_code: TxCode = False,
    expires_in_days: ExpiresInDays = 7,
    valid_days: Annotated[int, typer.Option(min=1, max=3650, help="How long the credential is valid.")] = 365,
    as_json: AsJson = False,
) -> None:
    """Offer a credential to whoever opens the link in a wallet (OpenID4VCI 1.0)."""
    from api.cli.offers import create_offer

    create_offer(
        type_name=type_,
        claims_path=claims,
        tenant=tenant,
        with_tx_code=tx_code,
        expires_in_days=expires_in_days,
        valid_days=valid_days,
        as_json=as_json,
    )


@wallet_commands.command("accept")
def accept(
    link: Annotated[str, typer.Argument(help="The openid-credential-offer:// link of an offer.")],
    folder: WalletFolder,
    tx_code: Annotated[str | None, typer.Option(help="The second code, which came another way.")] = None,
    copies: Annotated[
        int | None, typer.Option(min=1, help="How many copies of a score.  [default: as many as there are at once]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Obtain what an offer is for, and keep it; copies of a score get a key each."""
    from api.cli.accept import accept_offer

    accept_offer(folder, link, tx_code=tx_code, copies=copies, as_json=as_json)


@wallet_commands.command("keys")
def make_keys(
    out: Annotated[Path, typer.Option(help="Where the private JWK goes, with mode 0600; .pub beside it is public.")],
    algorithm: Annotated[str, typer.Option(help="ES256 or EdDSA.")] = "ES256",
    as_json: AsJson = False,
) -> None:
    """Make a key, for a holder or for an institution."""
    from api.cli import wallet

    wallet.make_key(out, algorithm=algorithm, as_json=as_json)


@wallet_commands.command("receive")
def receive(
    files: Annotated[list[Path], typer.Argument(help="Credentials, one a file.")],
    folder: WalletFolder,
    as_json: AsJson = False,
) -> None:
    """Take credentials into the wallet: each must verify and be bound to the wallet's key."""
    from api.cli import wallet

    wallet.receive_credentials(folder, files, as_json=as_json)


@wallet_commands.command("list")
def list_credentials(folder: WalletFolder, as_json: AsJson = False) -> None:
    """List the wallet's credentials: type, issuer, expiry and the names of their claims."""
    from api.cli import wallet

    wallet.list_credentials(folder, as_json=as_json)


@wallet_commands.command("present")
def present(
    link: Annotated[str, typer.Argument(help="The openid4vp:// link of a request.")],
    folder: WalletFolder,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be disclosed; send nothing.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the vp_token for the lender to carry, instead of posting it.")
    ] = False,
) -> None:
    """Answer a presentation request, disclosing only what it asks for."""
    from api.cli import wallet

    wallet.present_credentials(folder, link, dry_run=dry_run, as_json=as_json)


Service = Annotated[str, typer.Option("--service", help="The URL of the service that scored, without a path.")]


@wallet_commands.command("scores")
def list_scores(folder: WalletFolder, service: Service, as_json: AsJson = False) -> None:
    """List the scores of the wallet's key at every lender of a service, with their reasons."""
    from api.cli import holder

    holder.list_scores(folder, service, as_json=as_json)


@wallet_commands.command("receipts")
def keep_receipts(folder: WalletFolder, service: Service, as_json: AsJson = False) -> None:
    """Fetch the consent receipts of the wallet's key into the wallet, and list what each says."""
    from api.cli import holder

    holder.keep_receipts(folder, service, as_json=as_json)


@wallet_commands.command("consents")
def list_consents(folder: WalletFolder, service: Service, as_json: AsJson = False) -> None:
    """List what the wallet's key allows whom."""
    from api.cli import holder

    holder.list_consents(folder, service, as_json=as_json)


ConsentId = Annotated[str, typer.Argument(help="The consent's id, as `credence wallet consents` lists it.")]


@wallet_commands.command("withdraw")
def withdraw_consent(consent: ConsentId, folder: WalletFolder, service: Service, as_json: AsJson = False) -> None:
    """Withdraw a consent: that lender gets no further score for that purpose until it is given again."""
    from api.cli import holder

    holder.change_consent(folder, service, consent, change="withdrawal", as_json=as_json)


@wallet_commands.command("renew")
def renew_consent(consent: ConsentId, folder: WalletFolder, service: Service, as_json: AsJson = False) -> None:
    """Give a consent again that was withdrawn."""
    from api.cli import holder

    holder.change_consent(folder, service, consent, change="renewal", as_json=as_json)


def main() -> None:
    """Run the command that the arguments name; what it refuses is one line on standard error."""
    # Databases, credentials, keys, logs: nothing that a command writes is for the machine's other users.
    os.umask(0o077)
    try:
        app()
    except CommandFailed as failure:
        print_problem(str(failure))
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # Of an OSError the name is ours: a file that was asked for, or a port.
        print_problem(f"{error.filename or 'input or output'}: {error.strerror or type(error).__name__}")
        sys.exit(FAILED)
    except Exception as error:  # noqa: BLE001 (whatever it is, a person gets one line and no stack trace)
        if type(error).__module__.partition(".")[0] in ROOMS:
            print_problem(str(error))  # an error of one of the rooms: its message is fixed and safe
        else:
            place = traceback.extract_tb(error.__traceback__)[-1]
            print_problem(f"unexpected {type(error).__name__} at {place.filename}:{place.lineno}; please report it")
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
