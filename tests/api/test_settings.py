"""Settings: safe on loopback by default, and refused where they would be unsafe or are misspelt."""

from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.settings import Settings, SettingsError, load_settings


def test_nothing_set_makes_a_development_service_on_loopback():
    settings = load_settings({"PATH": "/bin", "CREDENCE_TEST_DATA": "/data"})
    assert settings == Settings()
    assert (settings.bind, settings.base_url) == ("127.0.0.1", "http://127.0.0.1:8700")
    assert settings.database_url == "sqlite:///var/credence.sqlite3"
    assert settings.keystore_url == "sqlite:///var/keystore.sqlite3"
    assert settings.model == Path("var/models/default")
    assert settings.allow_http_origins == frozenset()


def test_each_setting_is_read_from_its_variable():
    settings = load_settings(
        {
            "CREDENCE_VAR": "/srv/credence",
            "CREDENCE_PORT": "9000",
            "CREDENCE_LOG_ORIGIN": "log.example/1",
            "CREDENCE_ALLOW_HTTP_ORIGINS": "http://127.0.0.1:9001 http://localhost:9002",
        }
    )
    assert settings.var == Path("/srv/credence")
    assert (settings.port, settings.base_url) == (9000, "http://127.0.0.1:9000")
    assert settings.allow_http_origins == {"http://127.0.0.1:9001", "http://localhost:9002"}
    assert settings.database_url == "sqlite:////srv/credence/credence.sqlite3"


def test_every_setting_says_what_it_is_for():
    assert all(each.metadata["help"] for each in fields(Settings))


@pytest.mark.parametrize("variable", ["CREDENCE_DATABSE_URL", "CREDENCE_", "CREDENCE_port", "CREDENCE_SECRET"])
def test_a_variable_that_is_no_setting_is_refused_by_name(variable):
    with pytest.raises(SettingsError) as refused:
        load_settings({variable: "a value that nobody should see"})
    assert variable in str(refused.value)
    assert "nobody" not in str(refused.value)


@pytest.mark.parametrize("value", ["", "many", "1.5", "-1"])
def test_a_number_that_is_none_is_refused_without_its_value(value):
    with pytest.raises(SettingsError) as refused:
        load_settings({"CREDENCE_SCORE_VALID_DAYS": value})
    assert "CREDENCE_SCORE_VALID_DAYS" in str(refused.value)
    assert not value or value not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("CREDENCE_PORT", ["0", "65536"]),
        ("CREDENCE_CHAIN_PORT", ["0", "70000"]),
        ("CREDENCE_SCORE_VALID_DAYS", ["0", "1000000"]),
        ("CREDENCE_ANCHOR_POLL_MS", ["-1", "99999999999"]),
    ],
)
def test_a_number_that_could_not_work_is_refused(name, values):
    for value in values:
        with pytest.raises(SettingsError, match=name):
            load_settings({name: value})


@pytest.mark.parametrize("address", ["0x", "5FbDB2315678afecb367f032d93F642f64180aa3", "0x" + "g" * 40, "anchor.eth"])
def test_a_contract_without_an_address_is_refused(address):
    assert Settings(anchor_contract="0x5FbDB2315678afecb367f032d93F642f64180aa3").anchor_contract
    with pytest.raises(SettingsError, match="CREDENCE_ANCHOR_CONTRACT"):
        Settings(anchor_contract=address)


@pytest.mark.parametrize("digest", ["0" * 63, "0" * 65, "F" * 64, "g" * 64])
def test_a_digest_that_is_none_is_refused(digest):
    assert Settings(model_sha256="0f" * 32).model_sha256
    with pytest.raises(SettingsError, match="CREDENCE_MODEL_SHA256"):
        Settings(model_sha256=digest)


@pytest.mark.parametrize(
    "url", ["postgres://u:hunter2@h/d", "postgresql://u:hunter2@h/d", "mysql://u:hunter2@h/d", "/x"]
)
def test_a_database_of_another_kind_is_refused_without_its_url(url):
    for urls in ({"CREDENCE_DATABASE_URL": url, "CREDENCE_KEYSTORE_URL": url}, {"CREDENCE_KEYSTORE_URL": url}):
        with pytest.raises(SettingsError, match="must begin with") as refused:
            load_settings(urls)
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "credence.example",
        "ftp://credence.example",
        "https://",
        "https://credence.example/",
        "https://credence.example/api",
        "https://credence.example?a=b",
        "https://credence.example#a",
        "https://[",
    ],
)
def test_a_base_url_that_is_no_origin_is_refused(base_url):
    with pytest.raises(SettingsError):
        Settings(base_url=base_url)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1", "credence.example"])
def test_off_loopback_nothing_is_fetched_or_served_over_http(bind):
    https = {"bind": bind, "base_url": "https://credence.example"}
    assert Settings(**https).bind == bind
    with pytest.raises(SettingsError):
        Settings(bind=bind)
    with pytest.raises(SettingsError):
        Settings(bind=bind, base_url="http://credence.example")
    with pytest.raises(SettingsError):
        Settings(**https, allow_http_origins=frozenset({"http://127.0.0.1:1"}))


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_http_may_be_allowed_by_exact_origin(bind):
    origins = frozenset({"http://127.0.0.1:1"})
    settings = Settings(bind=bind, allow_http_origins=origins)
    assert settings.allow_http_origins == origins
    assert urlsplit(settings.base_url).hostname == bind


@pytest.mark.parametrize(
    "origin",
    [
        "http://credence.example",
        "http://10.0.0.1:80",
        "https://127.0.0.1",
        "http://127.0.0.1/path",
        "http://user@127.0.0.1",
        "127.0.0.1:9000",
        "http://[",
        "*",
    ],
)
def test_only_loopback_origins_are_allowed(origin):
    with pytest.raises(SettingsError) as refused:
        Settings(allow_http_origins=frozenset({origin}))
    assert origin not in str(refused.value).replace("http://127.0.0.1:9000", "")


def test_subject_keys_are_never_silently_put_beside_the_data():
    with pytest.raises(SettingsError, match="CREDENCE_KEYSTORE_URL"):
        Settings(database_url="postgresql+psycopg://user@host/data")
    kept = Settings(database_url="postgresql+psycopg://u@h/data", keystore_url="postgresql+psycopg://u@h/keys")
    assert kept.keystore_url.endswith("/keys")


@pytest.mark.parametrize("url", ["postgresql+psycopg://u@h/data", "sqlite:///data"])
def test_subject_keys_never_share_the_database_of_what_they_open(url):
    with pytest.raises(SettingsError, match="another database"):
        Settings(database_url=url, keystore_url=url)


def test_a_secret_in_a_url_is_never_shown():
    settings = Settings(
        database_url="postgresql+psycopg://user:hunter2@host/data",
        keystore_url="postgresql+psycopg://user:hunter2@host/keys",
        rpc_url="https://rpc.example/v3/hunter2",
    )
    assert "hunter2" not in repr(settings) + str(settings)
