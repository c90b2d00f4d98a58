"""Every way scoring refuses: one root, one leaf a reason, messages that never echo input."""


class ScoringError(Exception):
    """The root. `code` is stable and public; `message` is fixed, or names only what the schema file names."""

    code = "scoring_error"
    message = "The input cannot be scored."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class SchemaInvalid(ScoringError):
    """The schema file breaks the grammar. Its author is the operator, so the message may name the entry."""

    code = "schema_invalid"
    message = "The schema file does not follow the grammar."


class ExpressionInvalid(SchemaInvalid):
    code = "expression_invalid"
    message = "An expression is not safe arithmetic over declared columns."


class ValueInvalid(ScoringError):
    """A claim or a cell of a row is of the wrong type or not finite; `feature` names the schema's feature."""

    code = "value_invalid"
    message = "A value has the wrong type or is not finite."

    def __init__(self, feature: str) -> None:
        super().__init__()
        self.feature = feature


class ColumnMissing(ScoringError):
    """A row lacks a column that the schema declares; `feature` names it."""

    code = "column_missing"
    message = "A row lacks a column that the schema declares."

    def __init__(self, feature: str) -> None:
        super().__init__()
        self.feature = feature


class SeveralCredentials(ScoringError):
    """Two fresh credentials of a type of which the schema takes one; `vct` names the type."""

    code = "several_credentials"
    message = "More than one credential of a type was presented, and the model takes one."

    def __init__(self, vct: str) -> None:
        super().__init__()
        self.vct = vct


class ScorecardInvalid(ScoringError):
    code = "scorecard_invalid"
    message = "The points tables do not fit the schema."


class InputProtected(ScorecardInvalid):
    code = "input_protected"
    message = "A protected feature is a model input."


class InputUnsourced(ScorecardInvalid):
    code = "input_unsourced"
    message = "A model input has no source in a credential."


class NetworkInvalid(ScorecardInvalid):
    code = "network_invalid"
    message = "The network's tables and weights do not fit the schema, or each other."


class ReasonUnknown(ScorecardInvalid):
    code = "reason_unknown"
    message = "A reason code is not in the public registry."


class ArtifactInvalid(ScoringError):
    code = "artifact_invalid"
    message = "The model artifact cannot be used."


class ArtifactExists(ArtifactInvalid):
    code = "artifact_exists"
    message = "There is something at the artifact's path already."


class ArtifactUnwritten(ArtifactInvalid):
    code = "artifact_unwritten"
    message = "The artifact could not be written."


class ArtifactIncomplete(ArtifactInvalid):
    code = "artifact_incomplete"
    message = "A file of the artifact is missing or unreadable."


class ArtifactUnknownFile(ArtifactInvalid):
    code = "artifact_unknown_file"
    message = "The artifact's directory holds something that is no part of it."


class ArtifactAltered(ArtifactInvalid):
    code = "artifact_altered"
    message = "The artifact does not match its digest."


class CardInvalid(ArtifactInvalid):
    code = "card_invalid"
    message = "The model card lacks a member, has an unknown one, or one of the wrong type."


class PrivacyUnstated(CardInvalid):
    code = "privacy_unstated"
    message = "The model card does not state its privacy: budget, unit, accountant, mechanisms and ledger entries."


class PrivacyUnderstated(CardInvalid):
    code = "privacy_understated"
    message = "The model's releases cost more privacy than its card states."


class NoiseNotFromSystem(CardInvalid):
    code = "noise_not_from_system"
    message = "The model's noise was not drawn from the operating system."


class SchemaMismatch(ArtifactInvalid):
    code = "schema_mismatch"
    message = "The model was trained on another schema than the one beside it."


class WeightsInvalid(ArtifactInvalid):
    code = "weights_invalid"
    message = "The weights file does not hold the points tables that the card lists."


# Training under differential privacy: scoring/dp, scoring/training.py, scoring/population.py.


class PrivacyParametersInvalid(ScoringError):
    code = "privacy_parameters_invalid"
    message = "Epsilon, delta or the row cap is out of range, or delta is not below one over the row cap."


class ReleaseUncharged(ScoringError):
    """A fault of ours, caught before noise is drawn: a release would spend more than was charged for it."""

    code = "release_uncharged"
    message = "A release would spend more privacy than was charged."


class RowInvalid(ScoringError):
    code = "row_invalid"
    message = "A row of the training data has no label of 0 or 1, or no person."


class TrainingDataInvalid(ScoringError):
    code = "training_data_invalid"
    message = "The training data is not a CSV file with one header and rows of its length."


class EvaluationInvalid(ScoringError):
    """What was asked cannot be evaluated; the message says why, in words of ours."""

    code = "evaluation_invalid"
    message = "The evaluation cannot be run."


class LedgerError(ScoringError):
    code = "ledger_error"
    message = "The privacy ledger refuses."


class LedgerDamaged(LedgerError):
    code = "ledger_damaged"
    message = "The privacy ledger is not the unbroken chain that was written."


class LedgerUnavailable(LedgerError):
    code = "ledger_unavailable"
    message = "The privacy ledger cannot be read, locked or written."


class PopulationUnknown(LedgerError):
    code = "population_unknown"
    message = "The privacy ledger has no budget for this population."


class PopulationChanged(LedgerError):
    code = "population_changed"
    message = "The population stands in the privacy ledger with another holder, person column or budget."


class SplitChanged(LedgerError):
    code = "split_changed"
    message = "The population stands in the privacy ledger with another holdout share, or was split under another key."


class PopulationNotSplit(LedgerError):
    code = "population_not_split"
    message = "Nobody of this population is held out: the privacy ledger has no split of it."


class HoldoutNeedsPerson(LedgerError):
    code = "holdout_needs_person"
    message = "The schema names no person column, so that nobody can be held out."


class BudgetExceeded(LedgerError):
    code = "budget_exceeded"
    message = "The population's privacy budget does not cover this charge."


class KeyFileInvalid(LedgerError):
    code = "key_file_invalid"
    message = "The file of a secret key is unreadable, not 32 bytes, or readable by others."


# Validation of a model on the persons held out: scoring/validation.


class HoldoutSeen(ScoringError):
    code = "holdout_seen"
    message = "The model was not trained on this population's training side alone: the persons held out may be in it."


class ReportInvalid(ScoringError):
    code = "report_invalid"
    message = "The validation report lacks a member, has an unknown one, or one of the wrong type."


class ReportAltered(ScoringError):
    code = "report_altered"
    message = "The validation report does not match its digest."


class ReportExists(ScoringError):
    code = "report_exists"
    message = "There is something at the validation report's path already."


class ReportUnwritten(ScoringError):
    code = "report_unwritten"
    message = "The validation report could not be written."


class DriftNotComparable(ScoringError):
    code = "drift_not_comparable"
    message = "The counts are not of the bins of the drift reference."
