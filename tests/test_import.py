"""What an import costs."""

from __future__ import annotations

import subprocess
import sys


def test_neither_redis_nor_sqlite_is_imported_before_it_is_needed() -> None:
    """`import oauth_session` loads no redis, sqlite3, `cryptography` or command line library; a memory session neither."""
    code = (
        "import sys, oauth_session as o\n"
        "o.OAuthSession(base_url='https://a.test', token_url='https://b.test', client_id='c', token={'access_token': 'd'})\n"
        "lazy = 'redis', 'sqlite3', 'click', 'rich', 'pytest', 'multiprocessing', 'cryptography', 'jwt'\n"
        "print([m for m in lazy if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "[]"


def test_an_import_loads_nothing_before_it_is_needed() -> None:
    """`import oauth_session` loads not even requests; each public name is there when it is asked for, and is listed."""
    code = (
        "import sys, oauth_session as o\n"
        "assert not {'requests', 'dataclasses', 'oauth_session.session'} & {*sys.modules}\n"
        "assert {*o.__all__} <= {*dir(o)}\n"
        "assert all(getattr(o, name) is getattr(o, name) for name in o.__all__)\n"
        "print('oauth_session.session' in sys.modules, hasattr(o, 'nothing'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "True False"


def test_the_public_names() -> None:
    """The names that other programs hold on to."""
    import oauth_session

    assert sorted(oauth_session.__all__) == [
        "ClientSecretJwt",
        "ConfigurationError",
        "Detection",
        "Event",
        "GrantForm",
        "GrantStatus",
        "InteractionRequired",
        "InvalidClient",
        "InvalidGrant",
        "JwtBearer",
        "LoginFailed",
        "MutualTls",
        "NO_AUTH",
        "OAuthAdapter",
        "OAuthClient",
        "OAuthSession",
        "OAuthSessionError",
        "PrivateKeyJwt",
        "RecordForged",
        "RecordPlain",
        "RecordSealed",
        "RefreshOutcomeUnknown",
        "RefreshPolicy",
        "RefreshTimeout",
        "SignedJwtBearer",
        "StoreError",
        "TemporarilyUnavailable",
        "Token",
        "TokenAuth",
        "TokenExchange",
        "TokenRequestError",
        "__version__",
        "about_api",
        "interaction_required",
        "mount",
    ]
