"""What `Settings.load` promises: four sources in one order, checked values, no secret shown, nothing made on disk."""

import copy
import dataclasses
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from simpleml.errors import ConfigurationError
from simpleml.settings import Secret, Settings
from simpleml.settings.keys import BY_NAME, KEYS
from simpleml.settings.secret import masked
from simpleml.settings.stores import options_of

ROOT = Path(__file__).parents[2]
DOCUMENTED = ROOT / "config" / "simpleml.toml"


@pytest.fixture
def home(tmp_path):
    """A home folder of its own, empty."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def work(tmp_path):
    """A working folder of its own, empty."""
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def load(home, work):
    """Load from the working folder, with these variables, arguments and (if any) text of its settings file."""

    def load(toml=None, variables=None, **arguments):
        if toml is not None:
            (work / "simpleml.toml").write_text(toml, encoding="utf-8")
        return Settings.load(start=work, environ={"HOME": str(home)} | (variables or {}), **arguments)

    return load


def refusal(load, *args, **kwargs):
    """Return the message with which loading is refused."""
    with pytest.raises(ConfigurationError) as caught:
        load(*args, **kwargs)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------- sources


def test_defaults(load, home):
    """Without file, variable and argument every value is the documented default, and says so."""
    settings = load()
    assert settings.home == home / ".simpleml"
    assert settings.database == f"sqlite:///{home}/.simpleml/simpleml.db"
    assert dict(settings.stores) == {
        "default": f"{home}/.simpleml/store",
        "disk": f"{home}/.simpleml/store",
        "database": "database://",
        "imported": f"{home}/.simpleml/imported",
    }
    assert (settings.trust, settings.trusted_types) == ("trusted", ())
    assert settings.trusted_stores == ("default", "disk", "cloud", "database")
    assert (settings.offline, settings.cache_size, settings.cache_folder) == (False, 20_000_000_000, None)
    assert settings.cache == home / ".simpleml" / "cache"
    assert (settings.environment, settings.durability) == ("warn", "full")
    assert (settings.grace, settings.lock_timeout, settings.claim_lease) == (604800.0, 60.0, 60.0)
    assert settings.import_packages is None
    assert (settings.author, settings.project, settings.progress) == ("default", "default", True)
    assert set(settings.sources.values()) == {"default"}


def test_each_source_covers_the_one_before(load, work):
    """A file covers the defaults, a variable the file, an argument the variable; `sources` tells which it was."""
    toml = 'trust = "safe"\nauthor = "file"\nproject = "file"\nenvironment = "strict"\n'
    settings = load(toml, {"SIMPLEML_AUTHOR": "variable", "SIMPLEML_PROJECT": "variable"}, project="argument")
    assert (settings.trust, settings.author, settings.project) == ("safe", "variable", "argument")
    assert settings.sources["trust"] == f"{work}/simpleml.toml:trust"
    assert settings.sources["author"] == "SIMPLEML_AUTHOR"
    assert settings.sources["project"] == "argument"
    assert settings.sources["grace"] == "default"
    assert settings.configuration_file == work / "simpleml.toml"


def test_none_as_argument_is_not_given(load):
    """An argument of `None` leaves what the other sources say, so that callers can pass theirs through."""
    assert load(variables={"SIMPLEML_AUTHOR": "ada"}, author=None, store=None, database_url=None).author == "ada"


def test_file_is_found_upward_then_in_the_configuration_folder(home, work):
    """The nearest file from the working folder upward counts; else XDG_CONFIG_HOME's, else that of ~/.config."""
    deep = work / "a" / "b"
    deep.mkdir(parents=True)
    own, xdg = home / ".config" / "simpleml", home / "xdg"
    own.mkdir(parents=True)
    (xdg / "simpleml").mkdir(parents=True)
    (own / "simpleml.toml").write_text('author = "own"')
    (xdg / "simpleml" / "simpleml.toml").write_text('author = "xdg"')
    environ = {"HOME": str(home)}
    assert Settings.load(start=deep, environ=environ).author == "own"
    assert Settings.load(start=deep, environ=environ | {"XDG_CONFIG_HOME": str(xdg)}).author == "xdg"
    (work / "simpleml.toml").write_text('author = "upward"')
    assert Settings.load(start=deep, environ=environ | {"XDG_CONFIG_HOME": str(xdg)}).author == "upward"


def test_named_file(load, work, tmp_path):
    """A file that a variable or argument names is read in place of the one that would be found; a missing one fails."""
    (tmp_path / "named.toml").write_text('author = "named"')
    variables = {"SIMPLEML_CONFIGURATION_FILE": "../named.toml"}
    assert load('author = "found"', variables).author == "named"
    assert load(configuration_file=tmp_path / "named.toml").author == "named"
    message = refusal(load, variables={"SIMPLEML_CONFIGURATION_FILE": str(tmp_path / "no.toml")})
    assert "SIMPLEML_CONFIGURATION_FILE" in message
    assert str(tmp_path / "no.toml") in message


def test_foreign_file_in_a_shared_folder_is_passed_over(load, work, monkeypatch, caplog):
    """A file that another user put into a folder open to everybody is not read unless it is named."""
    work.chmod(0o777)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    os.chown(work, owner, -1)
    (work / "simpleml.toml").write_text('trust = "safe"')
    if owner == 0:
        os.chown(work / "simpleml.toml", 4711, -1)
    with caplog.at_level(logging.WARNING):
        assert load().trust == "trusted"
    assert str(work / "simpleml.toml") in caplog.text
    assert load(configuration_file=work / "simpleml.toml").trust == "safe"
    work.chmod(0o755)
    assert load().trust == "safe"


def test_nothing_is_made_and_no_home_is_needed(work):
    """Loading writes nothing, and works in a process with no HOME and a home folder that cannot be written."""
    before = set(work.rglob("*"))
    settings = Settings.load(start=work, environ={"HOME": "/proc/nowhere"})
    assert settings.home == Path("/proc/nowhere/.simpleml")
    assert Settings.load(start=work, environ={}).home.is_absolute()
    assert set(work.rglob("*")) == before


def test_unknown_user_without_home(work, monkeypatch):
    """For a user whom the system does not know, without HOME, the home is in the working folder, and that is told."""

    def unknown(_):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    settings = Settings.load(start=work, environ={})
    assert settings.home == work / ".simpleml"
    assert "no home folder is known" in settings.sources["home"]
    assert "no home folder" in refusal(Settings.load, start=work, environ={"SIMPLEML_STORE": "~/store"})


@pytest.mark.parametrize(
    ("path", "words"),
    [("~nobodyx/x", "no such user"), ("~nobodyx", "no such user"), ("$HOME/x", "not put in for $"), ("/a/${USER}/x", "not put in for $")],
)  # fmt: skip
@pytest.mark.parametrize("key", ["stores.cloud", "home", "cache_folder"])
def test_a_path_that_only_a_shell_expands_is_refused(work: Path, key: str, path: str, words: str) -> None:
    """What this machine cannot put in for `~user` or `$NAME` is refused, and makes no folder of that very name."""
    variable = "SIMPLEML_" + key.replace(".", "_").upper()
    told = refusal(Settings.load, start=work, environ={"HOME": str(work), variable: path})
    assert words in told
    assert path in told


def test_a_path_may_have_the_home_of_a_user_or_a_dollar(work: Path) -> None:
    """A known user's home is put in, and a folder that is there may be called as it is."""
    import pwd

    user = pwd.getpwuid(os.getuid())
    (work / "$odd").mkdir()
    stores = {"a": f"~{user.pw_name}/x", "b": "$odd", "c": "./~nobodyx/x"}
    settings = Settings.load(start=work, environ={"HOME": str(work)}, stores=stores)
    assert settings.stores["a"] == f"{user.pw_dir}/x"
    assert settings.stores["c"].endswith("~nobodyx/x")


def test_import_is_cheap():
    """Settings and registries load no database toolkit, no cloud library and no numerical one."""
    code = (
        "import sys, simpleml.settings, simpleml.registries; s = simpleml.settings.Settings.load(environ={}, start='/');"
        "s.database; print([m for m in ('sqlalchemy','alembic','fsspec','numpy','pandas','rich') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------------- the document


def test_documented_file_holds_every_default(home, work):
    """`config/simpleml.toml`, with its keys uncommented, is valid, names every key, and says exactly the defaults."""
    text = DOCUMENTED.read_text(encoding="utf-8")
    assert Settings.load(start=work, environ={"HOME": str(home)}, configuration_file=DOCUMENTED).sources["trust"] == (
        "default"
    )
    switched_on = re.sub(r"^#(?=\[|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    (work / "simpleml.toml").write_text(switched_on, encoding="utf-8")
    documented = Settings.load(start=work, environ={"HOME": str(home)})
    defaults = Settings.load(start=home, environ={"HOME": str(home)})
    assert documented.database == defaults.database
    same = {"database_url": None, "configuration_file": None}
    assert dataclasses.replace(documented, **same) == defaults
    set_there = tomllib.loads(switched_on)
    assert set(set_there) >= {"home", "trust", "stores", "database", "databases"}
    for name in BY_NAME:
        assert re.search(rf"\b{name}\b", text) or name.removeprefix("database_") in set_there["database"], name


def test_every_field_can_be_set_in_every_place():
    """Each field of `Settings` is a key, and each key has a variable of its name."""
    names = {known.name for known in dataclasses.fields(Settings)} - {"sources"}
    assert names == {key.name for key in KEYS} - {"database_conf"}
    assert all(key.variables[0] == f"SIMPLEML_{key.name.upper()}" for key in KEYS)


# ---------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('trsut = "safe"', ["'trsut'", "did you mean 'trust'"]),
        ('database_url = "sqlite://"', ["'database_url'", "did you mean 'database.url'"]),
        ('[database]\nhots = "h"', ["'database.hots'", "did you mean 'database.host'"]),
        ('[databases.x]\nhots = "h"', ["'databases.x.hots'", "did you mean 'databases.x.host'"]),
        ('database = "sqlite://"', ["database", "expected a table"]),
        ("stores = 3", ["stores", "expected a table"]),
        ('[stores]\n"Bad Name" = "x"', ["'Bad Name'", "name a store"]),
        ("[stores]\nlab = 5", ["stores.lab", "5", "s3://"]),
        ('[stores]\nlab = ""', ["stores.lab", "empty"]),
        ('trust = "maybe"', ["trust", "'maybe'", "'safe'"]),
        ("trust = []", ["trust", "[]"]),
        ('environment = "Warn"', ["environment", "'Warn'", "'strict'"]),
        ("durability = true", ["durability", "True", "'normal'"]),
        ('grace = "60"', ["grace", "'60'", "number of seconds"]),
        ("grace = -1", ["grace", "-1"]),
        ("grace = nan", ["grace", "nan"]),
        ("lock_timeout = true", ["lock_timeout", "True"]),
        ("claim_lease = 0", ["claim_lease", "0", "more than 0"]),
        ("claim_lease = -1", ["claim_lease", "-1"]),
        ("claim_lease = nan", ["claim_lease", "nan"]),
        ('claim_lease = "60"', ["claim_lease", "'60'"]),
        ('progress = "yes"', ["progress", "'yes'", "true or false"]),
        ('trusted_stores = "default"', ["trusted_stores", "list"]),
        ('trusted_stores = ["Default"]', ["trusted_stores", "'Default'"]),
        ('import_packages = ["a-b"]', ["import_packages", "'a-b'"]),
        ('author = ""', ["author", "empty"]),
        (f'project = "{"x" * 256}"', ["project", "256 characters", "…"]),
        ("home = 3", ["home", "3", "path"]),
        ('home = "a\\u0000b"', ["home", "NUL"]),
        ('configuration_file = "x"', ["unknown key 'configuration_file'"]),
        ('[database]\nurl = "host//name"', ["database.url", "host://", "postgresql://"]),
        ('[database]\nurl = "sqlite://file.db"', ["database.url", "three slashes"]),
        ('[database]\ndrivername = "a b"', ["database.drivername", "'a b'"]),
        ('[database]\ndrivername = "sqlite"\nhost = "h"', ["SQLite", "database.host"]),
        ('[database]\ndrivername = "mysql"\npassword = "p"', ["username", "never sent"]),
        ('[database]\nport = "5432"', ["database.port", "'5432'", "65535"]),
        ("[database]\nport = 70000", ["database.port", "70000"]),
        ('[database]\nhost = "/var/run"', ["database.host", "query"]),
        ("[database]\npassword = 12345", ["database.password", "***"]),
        ('[database]\nquery = "a=1&a=2"', ["database.query", "twice"]),
        ("[database]\nquery = {a = 1}", ["database.query", "table of texts"]),
        ('[database]\nurl = "mysql://h/d"\nhost = "h"', ["given twice", "database.url", "database.host"]),
    ],
)
def test_a_mistake_in_the_file_is_told(load, work, toml, told):
    """A wrong key or value in the file is refused by a message with the file, the key, the value and what is right."""
    message = refusal(load, toml)
    assert all(part in message for part in [str(work / "simpleml.toml"), *told]), message


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        (b'trust = "safe"\nauthor = \n', 2),
        (b"\n\n[stores\n", 3),
        (b'trust = "safe"\nauthor = """a\nb\n', 3),
        (b'trust = "safe"\ntrust = "safe"\n', 2),
        (b'\nauthor = "\xff"\n', 2),
    ],
)
def test_broken_toml_is_told_with_file_and_line(load, work, toml, line):
    """A file that is no TOML is refused by a message with its path and the line."""
    (work / "simpleml.toml").write_bytes(toml)
    assert f"{work / 'simpleml.toml'}, line {line}:" in refusal(load)


def test_unusual_files(load, work):
    """A byte order mark does no harm, and endless nesting is refused, not a crash."""
    (work / "simpleml.toml").write_bytes(b'\xef\xbb\xbfauthor = "ada"')
    assert load().author == "ada"
    assert "nested too deeply" in refusal(load, "x = " + "[" * 100_000)


def test_a_mistake_in_a_variable_is_told(load):
    """An unknown variable names the nearest known one, a wrong value names the variable; test variables pass."""
    assert "did you mean 'SIMPLEML_TRUST'" in refusal(load, variables={"SIMPLEML_TRSUT": "safe"})
    assert "did you mean 'SIMPLEML_DATABASE_HOST'" in refusal(load, variables={"SIMPLEML_DATABASE_HOTS": "h"})
    for variable, value in {
        "SIMPLEML_GRACE": "soon",
        "SIMPLEML_PROGRESS": "maybe",
        "SIMPLEML_DATABASE_PORT": "54x",
        "SIMPLEML_AUTHOR": "",
        "SIMPLEML_STORE": "",
        "SIMPLEML_STORES_": "x",
        "SIMPLEML_DATABASE_QUERY": "abc",
        "SIMPLEML_TRUSTED_STORES": "default,No!",
    }.items():
        assert refusal(load, variables={variable: value}).startswith(f"{variable}: ")
    assert load(variables={"SIMPLEML_TEST_POSTGRESQL": "x", "OTHER": "y"}).trust == "trusted"


def test_a_mistake_in_an_argument_is_told(load):
    """An unknown argument names the nearest setting, a wrong one names itself, and what is given twice is refused."""
    assert "did you mean 'author'" in refusal(load, autor="x")
    assert refusal(load, trust=1).startswith("argument trust: ")
    assert "expected a table of store names" in refusal(load, stores=3)
    assert "give it once" in refusal(load, store="a", stores={"default": "b"})
    assert "given twice" in refusal(load, database_url="sqlite://", database_name="x")


def test_direct_construction_is_checked(home):
    """`Settings(...)` checks as loading does, and reads neither file nor variable."""
    with pytest.raises(ConfigurationError, match="trust cannot be 'x'"):
        Settings(home=home, trust="x")
    with pytest.raises(ConfigurationError, match="author cannot be None"):
        Settings(home=home, author=None)
    made = Settings(home=home, database_drivername="mysql", database_password="p", database_username="u")
    assert made.database == "mysql+pymysql://u:p@"
    assert (made.sources["database_username"], made.sources["trust"]) == ("argument", "default")


# ---------------------------------------------------------------------------------------------------- values


def test_values_from_variables(load):
    """A variable's text is read as the number, flag, list or query that its key needs; an empty list is a list."""
    settings = load(
        variables={
            "SIMPLEML_GRACE": "1.5",
            "SIMPLEML_PROGRESS": "Off",
            "SIMPLEML_TRUSTED_STORES": "",
            "SIMPLEML_IMPORT_PACKAGES": "a, b.c",
            "SIMPLEML_DATABASE_DRIVERNAME": "postgresql",
            "SIMPLEML_DATABASE_PORT": "6000",
            "SIMPLEML_DATABASE_HOST": "db",
            "SIMPLEML_DATABASE_QUERY": "sslmode=require&application_name=a+b",
        }
    )
    assert (settings.grace, settings.progress) == (1.5, False)
    assert (settings.trusted_stores, settings.import_packages) == ((), ("a", "b.c"))
    assert settings.database == "postgresql+psycopg://db:6000?sslmode=require&application_name=a+b"


def test_relative_paths(load, home, work, tmp_path):
    """Paths are relative to the file that holds them, or to the working folder; `~` is the user's home; URLs stay."""
    (tmp_path / "far").mkdir()
    named = tmp_path / "far" / "s.toml"
    named.write_text('home = "h"\n[stores]\na = "x/y"\nb = "~/z"\nc = "s3://bucket/p"\nd = "/abs"\n')
    settings = load(configuration_file=named, stores={"e": "here", "f": Path("there")})
    assert settings.home == tmp_path / "far" / "h"
    assert dict(settings.stores) == {
        "default": f"{tmp_path}/far/h/store",
        "disk": f"{tmp_path}/far/h/store",
        "database": "database://",
        "imported": f"{tmp_path}/far/h/imported",
        "a": f"{tmp_path}/far/x/y",
        "b": f"{home}/z",
        "c": "s3://bucket/p",
        "d": "/abs",
        "e": f"{work}/here",
        "f": f"{work}/there",
    }


def test_stores_merge_by_name(load):
    """Stores of all sources come together, the stronger source winning a name; SIMPLEML_STORE is the default one."""
    settings = load(
        '[stores]\ndefault = "/f"\nlab = "/f/lab"\n',
        {"SIMPLEML_STORE": "/v", "SIMPLEML_STORES_BIG_ONE": "s3://big"},
        stores={"lab": "/a"},
    )
    assert settings.stores["default"] == "/v"
    assert settings.stores["lab"] == "/a"
    assert settings.stores["big_one"] == "s3://big"
    assert settings.sources["stores.lab"] == "argument"
    assert load(store="/only").stores["default"] == "/only"
    assert "both set stores.default" in refusal(
        load, variables={"SIMPLEML_STORE": "/v", "SIMPLEML_STORES_DEFAULT": "/w"}
    )


# ---------------------------------------------------------------------------------------------------- the database


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2://h/d"),
        ("mysql://h/d", "mysql+pymysql://h/d"),
        ("mariadb://[::1]:3306/d?charset=utf8mb4", "mariadb+pymysql://[::1]:3306/d?charset=utf8mb4"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:////abs/x.db?timeout=5", "sqlite:////abs/x.db?timeout=5"),
        ("sqlite:///file:x?mode=memory&uri=true", "sqlite:///file:x?mode=memory&uri=true"),
    ],
)
def test_database_url(load, url, full):
    """A URL keeps its parts, and gets the driver that this package installs when it names none."""
    assert load(database_url=url).database == full
    assert load(variables={"SIMPLEML_DATABASE_URI": url}).database == full


def test_sqlite_paths_are_anchored(load, home, work):
    """A relative SQLite file is relative to the settings file or working folder, as a URL and by parts."""
    assert load(database_url="sqlite:///x.db").database == f"sqlite:///{work}/x.db"
    assert load('[database]\nurl = "sqlite:///~/x.db"').database == f"sqlite:///{home}/x.db"
    toml = '[database]\ndrivername = "sqlite"\nname = "sub/x.db"\n'
    assert load(toml).database == f"sqlite:///{work}/sub/x.db"
    assert load('[database]\ndrivername = "sqlite"\n').database == f"sqlite:///{home}/.simpleml/simpleml.db"


def test_a_database_may_be_a_path(load, home, work):
    """Wherever a database is named, the path of an SQLite file will do, whatever characters it has."""
    for path, full in (
        ("x.db", work / "x.db"),
        ("~/x.db", home / "x.db"),
        ("/a/b%c.db", "/a/b%c.db"),
        ("a:b.db", work / "a:b.db"),
        ("./ab:c.db", work / "ab:c.db"),
    ):
        ways = [load(database_url=path), load(variables={"SIMPLEML_DATABASE_URL": path}), load(database_url=Path(path))]
        assert {str(found.database_file) for found in ways} == {str(full)}
    assert str(load('[database]\nurl = "sub/x.db"').database_file) == str(work / "sub/x.db")


@pytest.mark.parametrize(
    "text",
    [
        *("s3//b/x", "s3:/b/x", "s3:b", "gs:b/x", "host//d", "localhost:5432/db", "user:hunter2@h/d"),
        *("postgresql:/h/d", "postgresql:app", "postgresql:user:hunter2@h/d", "sqlite:app.db", "file:app.db"),
    ],
)
def test_a_url_that_was_mistyped_is_no_path(load, work, text):
    """What only lacks a part of `://`, or holds a login, becomes no folder and no file; with ./ in front it does."""
    told = [refusal(load, database_url=text), refusal(load, store=text), refusal(load, stores={"cloud": text})]
    told += [refusal(load, variables={"SIMPLEML_DATABASE_URL": text}), refusal(load, f'[stores]\ncloud = "{text}"')]
    assert all("://" in each and "hunter2" not in each for each in told)
    (work / "simpleml.toml").unlink()
    assert load(stores={"cloud": f"./{text}"}).stores["cloud"] == str(work / text)


def test_memory_and_options_need_a_url(load):
    """`:memory:` makes no file of this name, but tells the URL; nor does a path with a query, wherever it is."""
    assert "in memory is written sqlite://)" in refusal(load, database_url=":memory:")
    assert "in memory is written memory://name)" in refusal(load, store=":memory:")
    for path in ("app.db?mode=ro", "/a/app.db?mode=ro", "./app.db?mode=ro"):
        assert "only a URL has options" in refusal(load, database_url=path)


@pytest.mark.parametrize("name", ["me:you@home/x.db", "app.db?mode=ro", ":memory:", "s3:bucket", "sqlite:app.db"])
def test_a_path_object_is_no_text(load, work, name):
    """Nothing in a `Path` is taken for a URL, a login or a query: it names the file, or the folder, that it is."""
    found = load(database_url=Path(name), stores={"cloud": Path(name), "lab": {"url": Path(name)}})
    assert str(found.database_file) == make_url(found.database).database == str(work / name)
    assert found.stores["cloud"] == found.stores["lab"] == str(work / name)


def test_trusted_stores_are_stores(load):
    """A name that no store has is told with those that there are; the three that a pattern's name may begin with need no place."""
    message = refusal(load, 'trusted_stores = ["defualt"]')
    assert "simpleml.toml:trusted_stores" in message
    assert "did you mean 'default'?" in message
    assert "'lab'" in refusal(load, 'trusted_stores = ["lab"]')
    found = load('trusted_stores = ["lab", "cloud", "imported"]\n[stores]\nlab = "x"')
    assert found.trusted_stores == ("lab", "cloud", "imported")
    assert found.replace(author="ada").trusted_stores == found.trusted_stores


def test_odd_home_folder(load, work):
    """A home folder with characters that mean something in a URL is the folder that SQLAlchemy opens."""
    odd = work / "a?b%20c d@e"
    assert make_url(load(home=odd).database).database == str(odd / "simpleml.db")
    odd.mkdir()
    anchored = Settings.load(start=odd, environ={"HOME": "/"}, database_url="sqlite:///x%3Fy.db?timeout=5")
    assert make_url(anchored.database).database == str(odd / "x?y.db")
    assert make_url(anchored.database).query == {"timeout": "5"}


PART = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)


@hypothesis_settings(max_examples=60, deadline=None)
@given(username=PART, password=st.none() | PART, name=st.none() | PART, query=st.dictionaries(PART, PART, max_size=2))
def test_parts_are_quoted_exactly(username, password, name, query):
    """Whatever characters the parts hold, SQLAlchemy reads them back from the URL, and the shown one hides the password."""
    settings = Settings(
        home=Path("/h"),
        database_drivername="postgresql",
        database_username=username,
        database_password=password and Secret(password),
        database_host="db.example",
        database_port=1,
        database_name=name,
        database_query=query,
    )
    url = make_url(settings.database)
    assert (url.username, url.password, url.host, url.port) == (username, password, "db.example", 1)
    assert (url.database, dict(url.query)) == (name, query)
    if password is not None:
        assert make_url(settings.database_shown).password == "***"


@pytest.mark.parametrize(
    ("part", "value"),
    [("host", "h"), ("port", "1"), ("name", "n"), ("username", "u"), ("password", "p"), ("query", "a=b")],
)
def test_no_part_is_silently_ignored(load, part, value):
    """One part alone is never dropped in favour of the default database: it is refused by its name and source."""
    variable = f"SIMPLEML_DATABASE_{part.upper()}"
    message = refusal(load, variables={variable: value})
    assert variable in message
    assert "drivername" in message


def test_simpleml_variables_make_one_url(load):
    """The parts that SimpleML's variables give come together in one URL."""
    parts = {"NAME": "d", "USERNAME": "u", "PASSWORD": "p@/w", "HOST": "h", "PORT": "5", "DRIVERNAME": "mariadb"}
    variables = {f"SIMPLEML_DATABASE_{name}": value for name, value in parts.items()}
    assert load(variables=variables).database == "mariadb+pymysql://u:p%40%2Fw@h:5/d"


def test_url_and_parts_on_different_levels(load):
    """A stronger URL replaces weaker parts and URL; stronger parts replace a weaker URL and merge over weaker parts."""
    parts = '[database]\ndrivername = "mysql"\nhost = "f"\nname = "d"\n'
    url = '[database]\nurl = "postgresql://f/d"\n'
    assert load(parts, {"SIMPLEML_DATABASE_HOST": "v"}).database == "mysql+pymysql://v/d"
    assert load(parts, {"SIMPLEML_DATABASE_URL": "postgresql://v/d"}).database == "postgresql+psycopg://v/d"
    assert load(url, database_url="mysql://a/d").database == "mysql+pymysql://a/d"
    assert load(url, database_drivername="mysql", database_host="a").database == "mysql+pymysql://a"
    message = refusal(load, None, {"SIMPLEML_DATABASE_URL": "mysql://h/d", "SIMPLEML_DATABASE_HOST": "h"})
    assert "SIMPLEML_DATABASE_URL" in message
    assert "SIMPLEML_DATABASE_HOST" in message


def test_two_names_of_one_variable(load):
    """SIMPLEML_DATABASE_URL and SIMPLEML_DATABASE_URI may both be set when they agree only."""
    both = {"SIMPLEML_DATABASE_URL": "mysql://h/d", "SIMPLEML_DATABASE_URI": "mysql://h/d"}
    assert load(variables=both).database == "mysql+pymysql://h/d"
    assert "differently" in refusal(load, variables=both | {"SIMPLEML_DATABASE_URI": "mysql://other/d"})


def test_named_database_section(load):
    """SIMPLEML_DATABASE_CONF puts a section in place of [database], whole; variables merge over its parts."""
    toml = (
        '[database]\nurl = "mysql://prod/d"\n[databases.lab]\ndrivername = "postgresql"\nhost = "lab"\n'
        '[databases.other]\nurl = "mysql://other/d"\n[databases.empty]\n'
    )
    assert load(toml).database == "mysql+pymysql://prod/d"
    settings = load(toml, {"SIMPLEML_DATABASE_CONF": "lab", "SIMPLEML_DATABASE_NAME": "d"})
    assert settings.database == "postgresql+psycopg://lab/d"
    assert settings.sources["database_host"].endswith("simpleml.toml:databases.lab.host")
    assert load(toml, database_conf="other").database == "mysql+pymysql://other/d"
    assert load(toml, {"SIMPLEML_DATABASE_CONF": "lab"}, database_conf="other").database == "mysql+pymysql://other/d"
    parts = '[database]\ndrivername = "mysql"\nusername = "u"\npassword = "p"\nhost = "prod"\n'
    parts += '[databases.lab]\ndrivername = "postgresql"\nhost = "lab"\n'
    assert load(parts, database_conf="lab").database == "postgresql+psycopg://lab"
    assert "did you mean 'lab'" in refusal(load, toml, {"SIMPLEML_DATABASE_CONF": "labs"})
    assert "describes a database" in refusal(load, toml, {"SIMPLEML_DATABASE_CONF": "empty"})
    both = {"SIMPLEML_DATABASE_CONF": "lab", "SIMPLEML_DATABASE_URL": "mysql://h/d"}
    assert "given twice" in refusal(load, toml, both)
    assert load('[mine]\ndrivername = "mysql"\nhost = "m"', database_conf="mine").database == "mysql+pymysql://m"


def test_named_section_needs_a_file(load):
    """A section named without any settings file is an error, not the default database."""
    assert "no settings file" in refusal(load, variables={"SIMPLEML_DATABASE_CONF": "lab"})


# ---------------------------------------------------------------------------------------------------- secrets


def everything_shown(settings):
    """Return all that a careless program may print of these settings."""
    rows = json.dumps(settings.rows())
    return f"{settings!r} {settings} {dataclasses.asdict(settings)} {vars(settings)} {rows} {settings.database_shown}"


def test_no_secret_is_shown(load):
    """Passwords and tokens, in URLs, parts, queries and stores, appear in nothing that is printed, yet in the URL."""
    settings = load(
        variables={
            "SIMPLEML_DATABASE_DRIVERNAME": "postgresql",
            "SIMPLEML_DATABASE_USERNAME": "ada",
            "SIMPLEML_DATABASE_PASSWORD": "hunter2",
            "SIMPLEML_DATABASE_HOST": "h",
            "SIMPLEML_DATABASE_QUERY": "sslpassword=hunter2&sslmode=require",
            "SIMPLEML_STORE": "s3://KEY:hunter2@bucket/p",
            "SIMPLEML_STORES_AZ": "https://acc.example/c?sv=1&sig=hunter2&x=1",
        }
    )
    assert "hunter2" not in everything_shown(settings)
    assert "hunter2" not in repr(settings.database)
    assert settings.database == "postgresql+psycopg://ada:hunter2@h?sslpassword=hunter2&sslmode=require"
    assert settings.database_shown == "postgresql+psycopg://ada:***@h?sslpassword=***&sslmode=require"
    assert settings.database_password == Secret("hunter2")
    assert settings.database_password.reveal() == "hunter2"
    assert settings.stores["default"] == "s3://KEY:hunter2@bucket/p"
    whole = load(database_url="mysql://ada:hunter2@h/d?password=hunter2")
    assert "hunter2" not in everything_shown(whole)


@pytest.mark.parametrize(
    "arguments",
    [
        {"database_url": "ada:hunter2@host/d"},
        {"database_url": "mysql://ada:hunter2@more@host/d"},
        {"database_url": "mysql://ada:hunter2@host:port/d"},
        {"database_url": "password=hunter2 host=h"},
        {"database_password": ["hunter2"]},
        {"database_query": {"password": "hunter2", "x": 1}},
        {"database_query": "password=hunter2&password=x"},
        {"stores": {"x": "s3://KEY:hunter2@b\0"}, "home": "s3://KEY:hunter2@b\0"},
    ],
)
def test_no_secret_in_a_refusal(load, arguments):
    """A refused URL, password or query is named without its secret, and no chained error carries it."""
    with pytest.raises(ConfigurationError) as caught:
        load(**arguments)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p@ss/w?rd@h/d", "postgresql://u:***@h/d"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("abfs://box@account/x", "abfs://box@account/x"),
        ("mysql://h:3306/d", "mysql://h:3306/d"),
        ("mysql://h/d?p%61ssword=x&b=1", "mysql://h/d?p%61ssword=***&b=1"),
        ("mysql://h/d?b=1&access_token=a=b#c", "mysql://h/d?b=1&access_token=***"),
        ("/data/key=5/x", "/data/key=5/x"),
    ],
)
def test_masking(text, shown):
    """A password goes whole, also one that should have been encoded; what holds no secret stays readable."""
    assert masked(text) == shown


# ---------------------------------------------------------------------------------------------------- the value itself


def test_settings_are_a_value(load):
    """Settings are frozen, hashable, compare by content, and survive pickling and copying with their sources."""
    settings = load(variables={"SIMPLEML_STORE": "/v"}, database_url="mysql://u:p@h/d")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.trust = "safe"
    with pytest.raises(TypeError):
        settings.stores["x"] = "y"
    for other in (pickle.loads(pickle.dumps(settings)), copy.deepcopy(settings)):
        assert other == settings
        assert hash(other) == hash(settings)
        assert other.sources == settings.sources
        assert other.database == settings.database
    assert load() != settings


def test_replace(load, home, tmp_path):
    """`replace` puts changes on top as arguments do: defaults follow a new home, a URL replaces parts, sources are kept."""
    settings = load('author = "ada"\n[database]\ndrivername = "mysql"\nhost = "h"\n', {"SIMPLEML_STORES_LAB": "/lab"})
    moved = settings.replace(home=tmp_path / "new", store="/other", database_url="sqlite:///:memory:")
    own = {"database": "database://", "imported": str(tmp_path / "new" / "imported")}
    assert moved.stores == {"default": "/other", "disk": "/other", "lab": "/lab", **own}
    assert moved.database == "sqlite:///:memory:"
    assert moved.sources["author"] == settings.sources["author"]
    assert moved.sources["home"] == "argument"
    assert settings.replace() == settings
    assert settings.replace().sources == settings.sources
    with pytest.raises(ConfigurationError, match="trust cannot be 'no'"):
        settings.replace(trust="no")
    with pytest.raises(ConfigurationError, match=r"Settings\.load"):
        settings.replace(database_conf="x")


def test_rows_tell_everything_in_force(load):
    """`rows` holds the database, every store and every other field once, each with its source."""
    settings = load(variables={"SIMPLEML_DATABASE_HOST": "h"}, database_drivername="mysql", stores={"lab": "/l"})
    rows = {key: (value, source) for key, value, source in settings.rows()}
    assert len(rows) == len(settings.rows())
    assert rows["database"] == ("mysql+pymysql://h", "argument, SIMPLEML_DATABASE_HOST")
    assert rows["stores.lab"] == ("/l", "argument")
    assert rows["trusted_stores"] == ("default, disk, cloud, database", "default")
    assert rows["cache_folder"] == (str(settings.cache), "default")
    fields = {known.name for known in dataclasses.fields(settings) if not known.name.startswith("database_")}
    assert fields - {"stores", "sources"} <= set(rows)


def test_a_store_may_have_options(load, work):
    """A table gives a URL and options, of any JSON type; they stay with the store over `replace`, and secrets do not show."""
    toml = (
        '[stores.cloud]\nurl = "s3://bucket/p"\nkey = "AK"\nsecret = "hush"\nchunked = true\n'
        'client_kwargs = { region_name = "eu", aws_secret_access_key = "hush" }\n'
    )
    settings = load(toml, stores={"lab": {"url": "sub", "retries_for": 5}})
    for kept in (settings, settings.replace(author="ada")):
        assert kept.stores["cloud"] == "s3://bucket/p"
        assert options_of(kept.stores["cloud"]) == {
            "key": "AK",
            "secret": "hush",
            "chunked": True,
            "client_kwargs": {"region_name": "eu", "aws_secret_access_key": "hush"},
        }
        assert kept.stores["lab"] == f"{work}/sub"
        assert options_of(kept.stores["lab"]) == {"retries_for": 5}
    assert options_of(settings.stores["default"]) == {}
    told = repr(settings) + repr(settings.stores) + repr(settings.rows()) + repr(settings.stores["cloud"])
    assert "hush" not in told
    assert "region_name=eu" in told


@pytest.mark.parametrize("wrong", ["urll", "url"])
def test_a_secret_shows_at_no_depth(load, wrong):
    """What holds a password inside a table or a list is hidden there too, where the store is shown and where it is refused."""
    inner = '{ user = "ada", password = "hush" }'
    toml = f'[stores.cloud]\nurl = "s3://b"\nclient_kwargs = {inner}\nheaders = [{inner}, "a://ada:hush@b"]\n'
    settings = load(toml)
    told = repr(settings) + str(settings.rows())
    assert "hush" not in told
    assert told.count("user=ada") == 4
    refused = refusal(load, toml.replace('url = "s3://b"', f"{wrong} = 5"))
    assert "hush" not in refused
    assert "'user': 'ada'" in refused
    for key in ("stores", "trust", "store"):
        with pytest.raises(ConfigurationError) as caught:
            load(**{key: [{"cloud": {"password": "hush"}}, "a://ada:hush@b"]})
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[stores.cloud]\nkey = "AK"', ["stores.cloud", "no url"]),
        ("[stores.cloud]\nurl = 5", ["stores.cloud", "int"]),
        ('[stores.cloud]\nurl = "s3://b"\nsince = 1979-05-27', ["stores.cloud", "date"]),
        ('[stores.cloud]\nurl = "s3://b"\nchunked = "no"', ["stores.cloud", "chunked is true or false"]),
        ('[stores.cloud]\nurl = "cl"\nchunkd = true', ["stores.cloud", "'chunkd'", "did you mean 'chunked'?"]),
        ('[stores.cloud]\nurl = "file:///cl"\nkey = "AK"', ["stores.cloud", "no option 'key'", "chunked, retries_for"]),
        ('cache_size = "many"', ["cache_size", "'many'", "20 GB"]),
        ("cache_size = -1", ["cache_size", "-1"]),
        (f"cache_size = '{'9' * 400}'", ["cache_size", "999", "20 GB"]),
        (f"grace = {'9' * 400}", ["grace", "999", "a number of seconds"]),
        ('offline = "yes"', ["offline", "'yes'"]),
        ('trusted_types = "a.B"', ["trusted_types", "list"]),
    ],
)
def test_stores_and_cache_that_cannot_be(load, toml, told):
    """A wrong value of these keys is an error that names the key, the value and the form that is expected."""
    message = refusal(load, toml)
    assert all(part in message for part in told), message


def test_sizes_are_read_with_their_unit(load):
    """A size is a number of bytes, or a text with a unit, also in a variable."""
    for text, size in (
        ("20 GB", 20 * 10**9),
        ("1.5mb", 1_500_000),
        ("7", 7),
        ("0", 0),
        ("3 kB", 3000),
        ("1tb", 10**12),
    ):
        assert load(variables={"SIMPLEML_CACHE_SIZE": text}).cache_size == size
    assert load("cache_size = 12").cache_size == 12
